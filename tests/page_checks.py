"""What every view of the page must hold: contrast, and nothing cut off at the edge."""

from __future__ import annotations

POOR_CONTRAST = """() => {
  const number = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const over = (top, below) => {
    const share = top[3] ?? 1;
    return top.slice(0, 3).map((one, at) => one * share + below[at] * (1 - share));
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(number(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg, option, [hidden], .unseen, :disabled")) continue;
    if (!element.getClientRects().length) continue;
    const back = behind(element);
    const front = over(number(getComputedStyle(element).color), back);
    const [more, less] = [light(front), light(back)].sort((a, b) => b - a);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < 4.5) poor.push(`${element.outerHTML.slice(0, 80)} ${ratio.toFixed(2)}`);
  }
  return poor.slice(0, 10);
}"""
CUT_OFF = """() => [...document.querySelectorAll("main *")].filter((element) => {
  const scrolls = "svg, pre, .scroll, .scroller, .rows.runs td, td.who, td.label, td.name";
  const held = `${scrolls}, [hidden], details:not([open]) > :not(summary)`;
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !element.closest(held);
}).slice(0, 5).map((element) => element.outerHTML.slice(0, 120))"""


def poor_contrast(page) -> list[str]:
    """Texts in sight whose contrast with what is painted behind them is below 4.5 to 1 (WCAG 2, AA)."""
    return page.evaluate(POOR_CONTRAST)


def beyond_the_edge(page) -> list[str]:
    """Elements cut off at the right edge that no scrolling part of the page holds."""
    return page.evaluate(CUT_OFF)
