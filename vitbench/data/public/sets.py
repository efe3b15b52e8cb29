"""Which public sets there are: what they hold, where they lie, by what sums their files are known.

Addresses and MD5 sums of archives are torchvision's; what lies on the Hugging Face hub is named by its
repository, and the hub says the sums. Counts are those that the authors publish.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vitbench.errors import UsageError, did_you_mean

HUB_SIGN = "/"
"""In the name of a set: it is OWNER/NAME on the hub."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One file to download."""

    address: str
    md5: str
    folder: str = ""
    """Below the root that torchvision is given."""

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A known set; its pictures lie in archives that torchvision reads, or in tables on the hub."""

    name: str
    title: str
    classes: int
    counts: Mapping[str, int]
    """Pictures by part of the official split: "train", "val", "test"."""
    megabytes: int
    """To download."""
    licence: str
    page: str
    archives: tuple[Archive, ...] = ()
    hub: str = ""
    """OWNER/NAME."""
    note: str = ""
    """What a user should know of its split."""

    @property
    def pictures(self) -> int:
        return sum(self.counts.values())


_PETS = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
_FLOWERS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_FASTAI = "https://s3.amazonaws.com/fast-ai-imageclas/"
_FOOD = "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"
_CC_BY_SA = "CC BY-SA 4.0; copyright of each photo with its owner"
_IMAGENETTE = "Apache 2.0 for the selection; the photos are ImageNet's, for non-commercial research"
_CIFAR_LICENCE = "none stated; cut from 80 Million Tiny Images, which its authors withdrew in 2020"
_ONLY_VAL = "it has no test part: val/ is what is reported on"

SETS = {
    one.name: one
    for one in (
        PublicSet(
            "oxford-iiit-pet", "Oxford-IIIT Pet", 37, {"train": 3680, "test": 3669}, 811, _CC_BY_SA, _PETS,
            (
                Archive(f"{_PETS}data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c", "oxford-iiit-pet"),
                Archive(
                    f"{_PETS}data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f", "oxford-iiit-pet"
                ),
            ),
        ),
        PublicSet(
            "flowers-102", "Oxford 102 Flowers", 102, {"train": 1020, "val": 1020, "test": 6149}, 345,
            "none stated", _FLOWERS,
            (
                Archive(f"{_FLOWERS}102flowers.tgz", "52808999861908f626f3c1f4e79d11fa", "flowers-102"),
                Archive(f"{_FLOWERS}imagelabels.mat", "e0620be6f572b9609742df49c70aed4d", "flowers-102"),
                Archive(f"{_FLOWERS}setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c", "flowers-102"),
            ),
        ),
        PublicSet(
            "eurosat-rgb", "EuroSAT (RGB)", 10, {"train": 16200, "val": 5400, "test": 5400}, 92,
            "MIT; made of Copernicus Sentinel-2 data", "https://github.com/phelber/EuroSAT",
            hub="timm/eurosat-rgb",
            note="its authors published no split; this is the one that timm and torchgeo use",
        ),
        PublicSet(
            "resisc45", "NWPU-RESISC45", 45, {"train": 18900, "val": 6300, "test": 6300}, 425,
            "unknown, as the hub says", "https://huggingface.co/datasets/timm/resisc45",
            hub="timm/resisc45",
            note="its authors published no split; this is the one that timm and torchgeo use",
        ),
        PublicSet(
            "cifar-10", "CIFAR-10", 10, {"train": 50000, "test": 10000}, 170, _CIFAR_LICENCE,
            f"{_CIFAR}cifar.html",
            (Archive(f"{_CIFAR}cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
        ),
        PublicSet(
            "cifar-100", "CIFAR-100", 100, {"train": 50000, "test": 10000}, 169, _CIFAR_LICENCE,
            f"{_CIFAR}cifar.html",
            (Archive(f"{_CIFAR}cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),),
        ),
        PublicSet(
            "imagenette", "Imagenette", 10, {"train": 9469, "val": 3925}, 1557, _IMAGENETTE,
            "https://github.com/fastai/imagenette",
            (Archive(f"{_FASTAI}imagenette2.tgz", "fe2fc210e6bb7c5664d602c3cd71e612"),),
            note=_ONLY_VAL,
        ),
        PublicSet(
            "imagenette-320", "Imagenette, shorter side 320 px", 10, {"train": 9469, "val": 3925}, 341,
            _IMAGENETTE, "https://github.com/fastai/imagenette",
            (Archive(f"{_FASTAI}imagenette2-320.tgz", "3df6f0d01a2c9592104656642f5e78a3"),),
            note=_ONLY_VAL,
        ),
        PublicSet(
            "food-101", "Food-101", 101, {"train": 75750, "test": 25250}, 4996,
            "none; beyond scientific fair use, to be settled with the photos' owners (Foodspotting)",
            "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
            (Archive(_FOOD, "85eeb15f3717b99a5da872d97d918f87"),),
            note="its training part holds wrong labels on purpose, the test part was cleaned",
        ),
        PublicSet(
            "timm/oxford-iiit-pet", "Oxford-IIIT Pet, timm's copy", 37, {"train": 3680, "test": 3669}, 791,
            _CC_BY_SA, "https://huggingface.co/datasets/timm/oxford-iiit-pet", hub="timm/oxford-iiit-pet",
        ),
    )
}  # fmt: skip
"""By name. Of timm's collection of data sets for fine-tuning on the hub, all three are there."""


def set_named(name: str) -> PublicSet:
    """The set of this name; one of the hub that is not in the list is taken by its OWNER/NAME alone.

    UsageError for a name that is neither.
    """
    known = SETS.get(name.strip().lower())
    if known is not None:
        return known
    owner, _, rest = name.strip().partition(HUB_SIGN)
    if owner and rest and HUB_SIGN not in rest:
        repository = f"{owner}/{rest}"
        page = f"https://huggingface.co/datasets/{repository}"
        return PublicSet(repository, repository, 0, {}, 0, "", page, hub=repository)
    raise UsageError(
        f"{name}: no set of that name{did_you_mean(name, SETS)}; `vitbench data fetch` lists them, "
        "OWNER/NAME is one of the Hugging Face hub"
    )
