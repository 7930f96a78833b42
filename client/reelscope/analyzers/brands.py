"""Brand names that are recognised in text.

A short list of names that are read often in short videos and mean little else. Names that are common words (Apple,
Target, Dove, Vans) are left out, because text alone cannot tell them apart, and so are the platforms that put their own
mark on every clip. Acme is the brand of examples.
"""

from __future__ import annotations

from reelscope.analyzers.calls_to_action import words
from reelscope.analyzers.edit_distance import are_alike

MIN_EDIT_RATIO = 0.85
"""One wrong letter in seven; shorter names must be read exactly."""

BRANDS = (
    "Acme",
    # clothes, shoes, jewellery
    "Adidas",
    "Asics",
    "Balenciaga",
    "Birkenstock",
    "Bulgari",
    "Burberry",
    "C&A",
    "Calvin Klein",
    "Cartier",
    "Chanel",
    "Crocs",
    "Deichmann",
    "Dior",
    "Fendi",
    "Givenchy",
    "Gucci",
    "H&M",
    "Hugo Boss",
    "Jordan Brand",
    "Lacoste",
    "Levi's",
    "Louis Vuitton",
    "Lululemon",
    "Michael Kors",
    "Moncler",
    "New Balance",
    "Nike",
    "Prada",
    "Primark",
    "Puma",
    "Ralph Lauren",
    "Ray-Ban",
    "Reebok",
    "Rolex",
    "Shein",
    "Skechers",
    "Swarovski",
    "The North Face",
    "Tommy Hilfiger",
    "Under Armour",
    "Uniqlo",
    "Versace",
    "Yves Saint Laurent",
    "Zara",
    # beauty and care
    "CeraVe",
    "Colgate",
    "Estee Lauder",
    "Fenty Beauty",
    "Garnier",
    "Gillette",
    "Kylie Cosmetics",
    "L'Oréal",
    "La Roche-Posay",
    "Lancôme",
    "Maybelline",
    "Neutrogena",
    "Nivea",
    "NYX",
    "Olaplex",
    "Oral-B",
    "Pantene",
    "Rare Beauty",
    "Sephora",
    "Weleda",
    # food and drink
    "Burger King",
    "Cadbury",
    "Coca-Cola",
    "Doritos",
    "Dr Pepper",
    "Dunkin",
    "Fanta",
    "Ferrero",
    "Haribo",
    "Häagen-Dazs",
    "Heineken",
    "Heinz",
    "KFC",
    "KitKat",
    "Knorr",
    "Lavazza",
    "Lindt",
    "M&M's",
    "McDonald's",
    "Milka",
    "Monster Energy",
    "Nescafé",
    "Nespresso",
    "Nestlé",
    "Nutella",
    "Oatly",
    "Oreo",
    "Pepsi",
    "Pringles",
    "Red Bull",
    "Ritter Sport",
    "Starbucks",
    "Taco Bell",
    # machines, toys, cars
    "Asus",
    "Audi",
    "Barbie",
    "BMW",
    "Bosch",
    "Bose",
    "DeLonghi",
    "DJI",
    "Dyson",
    "Ferrari",
    "Fisher-Price",
    "Funko",
    "GoPro",
    "Honda",
    "Huawei",
    "Hyundai",
    "IKEA",
    "iPhone",
    "JBL",
    "KitchenAid",
    "Lamborghini",
    "LEGO",
    "Lenovo",
    "Logitech",
    "Mercedes-Benz",
    "Microsoft",
    "Miele",
    "Nikon",
    "Nintendo",
    "Nokia",
    "OnePlus",
    "Panasonic",
    "Philips",
    "Playmobil",
    "PlayStation",
    "Porsche",
    "Samsung",
    "Siemens",
    "Sonos",
    "Sony",
    "Tesla",
    "Thermomix",
    "Toyota",
    "Tupperware",
    "Volkswagen",
    "Xbox",
    "Xiaomi",
    # shops
    "Aldi",
    "AliExpress",
    "Costco",
    "eBay",
    "Edeka",
    "Etsy",
    "Lidl",
    "MediaMarkt",
    "Rossmann",
    "Temu",
    "Walmart",
    "Zalando",
)

_WORDS_NOT_BRANDS = frozenset({"channel", "channels", "collate", "garner", "redball"})
"""One letter from a brand, and another word."""
_JOINED = tuple((brand, "".join(words(brand))) for brand in BRANDS)
_MOST_WORDS = max(len(words(brand)) for brand in BRANDS)


def brand_in(text: str) -> str | None:
    """The brand that a text names, as in BRANDS; the most alike when there are several, None when there is none."""
    said = words(text)
    parts = (
        "".join(said[first : first + count])
        for count in range(1, _MOST_WORDS + 1)
        for first in range(len(said) - count + 1)
    )
    close = None
    for part in parts:
        for brand, name in _JOINED:
            if part == name:
                return brand
            # Where one letter is wrong, the first or the last is right.
            is_near = part[0] == name[0] or part[-1] == name[-1]
            if close is None and is_near and part not in _WORDS_NOT_BRANDS and are_alike(part, name, MIN_EDIT_RATIO):
                close = brand
    return close
