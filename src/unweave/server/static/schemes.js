// Light or dark: the system's preference until a person chooses, and that choice kept on this machine.

const KEY = "unweave.scheme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function present() {
  return document.documentElement.dataset.scheme ?? (dark.matches ? "dark" : "light");
}

/** Makes a button that switches between light and dark, named for what it switches to. */
export function schemeButton(button) {
  const name = () => {
    button.textContent = present() === "dark" ? "Light" : "Dark";
  };
  button.addEventListener("click", () => {
    const next = present() === "dark" ? "light" : "dark";
    document.documentElement.dataset.scheme = next;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Kept for this visit only.
    }
    name();
  });
  dark.addEventListener("change", name);
  name();
}
