"""CUB-200-2011: photographs of 200 species of birds, at 224 x 224 pixels.

Read from the archive as it unpacks: ``CUB_200_2011/images.txt``, ``image_class_labels.txt``,
``train_test_split.txt`` and ``images/``. The shorter side becomes 256 pixels, then the middle 224 x 224;
training crops come out of that square. Their attributes are a bank of concepts: ``banks.cub_attributes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lthbench import textfiles
from lthbench.data.image_files import expect
from lthbench.datasets._folders import photographs
from lthbench.datasets.imagenet import MEAN, STD
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Images, Source

SPLITS = {"train": 5_994, "test": 5_794}
_TEXT = """
Black_footed_Albatross Laysan_Albatross Sooty_Albatross Groove_billed_Ani Crested_Auklet Least_Auklet
Parakeet_Auklet Rhinoceros_Auklet Brewer_Blackbird Red_winged_Blackbird Rusty_Blackbird
Yellow_headed_Blackbird Bobolink Indigo_Bunting Lazuli_Bunting Painted_Bunting Cardinal Spotted_Catbird
Gray_Catbird Yellow_breasted_Chat Eastern_Towhee Chuck_will_Widow Brandt_Cormorant Red_faced_Cormorant
Pelagic_Cormorant Bronzed_Cowbird Shiny_Cowbird Brown_Creeper American_Crow Fish_Crow Black_billed_Cuckoo
Mangrove_Cuckoo Yellow_billed_Cuckoo Gray_crowned_Rosy_Finch Purple_Finch Northern_Flicker Acadian_Flycatcher
Great_Crested_Flycatcher Least_Flycatcher Olive_sided_Flycatcher Scissor_tailed_Flycatcher
Vermilion_Flycatcher Yellow_bellied_Flycatcher Frigatebird Northern_Fulmar Gadwall American_Goldfinch
European_Goldfinch Boat_tailed_Grackle Eared_Grebe Horned_Grebe Pied_billed_Grebe Western_Grebe Blue_Grosbeak
Evening_Grosbeak Pine_Grosbeak Rose_breasted_Grosbeak Pigeon_Guillemot California_Gull Glaucous_winged_Gull
Heermann_Gull Herring_Gull Ivory_Gull Ring_billed_Gull Slaty_backed_Gull Western_Gull Anna_Hummingbird
Ruby_throated_Hummingbird Rufous_Hummingbird Green_Violetear Long_tailed_Jaeger Pomarine_Jaeger Blue_Jay
Florida_Jay Green_Jay Dark_eyed_Junco Tropical_Kingbird Gray_Kingbird Belted_Kingfisher Green_Kingfisher
Pied_Kingfisher Ringed_Kingfisher White_breasted_Kingfisher Red_legged_Kittiwake Horned_Lark Pacific_Loon
Mallard Western_Meadowlark Hooded_Merganser Red_breasted_Merganser Mockingbird Nighthawk Clark_Nutcracker
White_breasted_Nuthatch Baltimore_Oriole Hooded_Oriole Orchard_Oriole Scott_Oriole Ovenbird Brown_Pelican
White_Pelican Western_Wood_Pewee Sayornis American_Pipit Whip_poor_Will Horned_Puffin Common_Raven
White_necked_Raven American_Redstart Geococcyx Loggerhead_Shrike Great_Grey_Shrike Baird_Sparrow
Black_throated_Sparrow Brewer_Sparrow Chipping_Sparrow Clay_colored_Sparrow House_Sparrow Field_Sparrow
Fox_Sparrow Grasshopper_Sparrow Harris_Sparrow Henslow_Sparrow Le_Conte_Sparrow Lincoln_Sparrow
Nelson_Sharp_tailed_Sparrow Savannah_Sparrow Seaside_Sparrow Song_Sparrow Tree_Sparrow Vesper_Sparrow
White_crowned_Sparrow White_throated_Sparrow Cape_Glossy_Starling Bank_Swallow Barn_Swallow Cliff_Swallow
Tree_Swallow Scarlet_Tanager Summer_Tanager Artic_Tern Black_Tern Caspian_Tern Common_Tern Elegant_Tern
Forsters_Tern Least_Tern Green_tailed_Towhee Brown_Thrasher Sage_Thrasher Black_capped_Vireo
Blue_headed_Vireo Philadelphia_Vireo Red_eyed_Vireo Warbling_Vireo White_eyed_Vireo Yellow_throated_Vireo
Bay_breasted_Warbler Black_and_white_Warbler Black_throated_Blue_Warbler Blue_winged_Warbler Canada_Warbler
Cape_May_Warbler Cerulean_Warbler Chestnut_sided_Warbler Golden_winged_Warbler Hooded_Warbler
Kentucky_Warbler Magnolia_Warbler Mourning_Warbler Myrtle_Warbler Nashville_Warbler Orange_crowned_Warbler
Palm_Warbler Pine_Warbler Prairie_Warbler Prothonotary_Warbler Swainson_Warbler Tennessee_Warbler
Wilson_Warbler Worm_eating_Warbler Yellow_Warbler Northern_Waterthrush Louisiana_Waterthrush Bohemian_Waxwing
Cedar_Waxwing American_Three_toed_Woodpecker Pileated_Woodpecker Red_bellied_Woodpecker
Red_cockaded_Woodpecker Red_headed_Woodpecker Downy_Woodpecker Bewick_Wren Cactus_Wren Carolina_Wren
House_Wren Marsh_Wren Rock_Wren Winter_Wren Common_Yellowthroat
"""
CLASSES = tuple(_TEXT.split())
_TABLES = ("images.txt", "image_class_labels.txt", "train_test_split.txt")


def locate(folders: tuple[Path, ...], splits: Mapping[str, int] = SPLITS) -> Source | None:
    """The copy. Raises BadInput for one that is there in part, by the numbers in ``splits``."""
    for folder in folders:
        root = folder / "CUB_200_2011"
        if expect("CUB-200-2011", root, _TABLES) is None:
            continue
        images = _table(root / "images.txt")
        if len(images) != sum(splits.values()):
            raise BadInput(
                f"{root / 'images.txt'}: should list {sum(splits.values()):,} images, lists {len(images):,}."
            )
        names = (*_TABLES, *(f"images/{name}" for name in images.values()))
        return expect("CUB-200-2011", root, names)
    return None


def load(source: Source, split: str) -> Images:
    """One split: train (5,994) or test (5,794), in the order of images.txt."""
    chosen = _members(source.root, split)
    files = [source.root / "images" / name for name, _ in chosen.values()]
    return photographs(files, [label for _, label in chosen.values()], 224)


def _members(root: Path, split: str) -> dict[int, tuple[str, int]]:
    """File name and label of each image of a split, by its number."""
    names, labels, training = (_table(root / name) for name in _TABLES)
    found = {}
    for image, name in names.items():
        wanted = {"1": "train", "0": "test"}.get(training.get(image, ""))
        if wanted is None:
            raise BadInput(f"{root / _TABLES[2]}: does not say 0 or 1 for image {image}.")
        label = labels.get(image, "")
        if not label.isdigit() or not 1 <= int(label) <= len(CLASSES):
            raise BadInput(f"{root / _TABLES[1]}: does not say 1..{len(CLASSES)} for image {image}.")
        if not name.startswith(f"{int(label):03}."):
            raise BadInput(f"{root / _TABLES[1]}: says {label} for image {image}, which is {name}.")
        if wanted == split:
            found[image] = (name, int(label) - 1)
    return found


def _table(path: Path) -> dict[int, str]:
    """A text file of lines "number value"."""
    table: dict[int, str] = {}
    for number, line in enumerate(textfiles.read(path).splitlines(), 1):
        try:
            key, value = line.split(maxsplit=1)
            table[int(key)] = value.strip()
        except ValueError as error:
            raise BadInput(f"{path}: line {number} cannot be read: {line.strip()[:80]!r}") from error
    return table


DATASET = Dataset(
    name="cub",
    version=1,
    title="CUB-200-2011 birds, photographs at 224 x 224 pixels",
    source="Wah et al. 2011, The Caltech-UCSD Birds-200-2011 Dataset",
    licence="non-commercial research and education",
    classes=CLASSES,
    channels=3,
    size=224,
    mean=MEAN,
    std=STD,
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="Get CUB_200_2011.tgz (1.2 GB) from data.caltech.edu/records/65de6-vp158, unpack it, and name the "
    "folder that holds CUB_200_2011 with --data DIR.",
)
