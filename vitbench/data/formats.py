"""Which files are taken for pictures, and what is said of those that are not: literal tables.

A name decides whether a file is taken, its content how it is read. What Pillow decodes by its own code, from
the file alone, is taken. Left shut: EPS (runs Ghostscript), WMF and EMF (Windows draws them), FPX and MIC
(need another parser), PSD (only what its program flattened), BUFR, GRIB, HDF5 and MPEG (named, not decoded),
FITS (its signed values come out wrong), PCD (a photo at a 16th of its size), FLI and DCX (films and faxes),
and what no photo is kept in: BLP, FTEX, GBR, IM, IMT, IPTC, MCIDAS, MSP, PIXAR, SPIDER, XVTHUMB.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import features

FORMATS: Mapping[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    **({"JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")} if features.check("jpg_2000") else {}),
    **({"AVIF": (".avif", ".avifs")} if features.check("avif") else {}),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "DDS": (".dds",),
    "QOI": (".qoi",),
    "SUN": (".ras",),
    "ICNS": (".icns",),
    "ICO": (".ico",),
    "CUR": (".cur",),
    "XPM": (".xpm",),
    "XBM": (".xbm",),
    "PCX": (".pcx",),
    "DIB": (".dib",),  # this and the next begin with no mark of their own: asked last
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
"""Pillow's name of a format → the endings of its files. HEIC (`HEIF_SUFFIXES`) is read by pi-heif."""

HEIF_SUFFIXES = (".heic", ".heif", ".hif")

SUFFIXES: frozenset[str] = frozenset([*HEIF_SUFFIXES, *(s for known in FORMATS.values() for s in known)])
"""File name endings taken for pictures, lower case; compared without regard to case."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A kind of file that holds pictures and is not read."""

    what: str
    do: str
    suffixes: str
    """With blanks between."""


UNREAD: tuple[Unread, ...] = (
    Unread("DICOM", "convert them to 16-bit PNG", ".dcm .dicom .ima"),
    Unread("volumes", "write their slices as 16-bit PNG", ".nii .nrrd .mha .mhd .mgz .vtk"),
    Unread("arrays", "write them as PNG", ".npy .npz .mat .h5 .hdf5 .pt .pkl .zarr"),
    Unread("astronomy", "convert them to 16-bit PNG", ".fits .fit .fts"),
    Unread("microscopes", "export them as TIFF", ".czi .lif .nd2 .oib .oif .vsi .lsm"),
    Unread("whole slides", "cut them into tiles", ".svs .ndpi .mrxs .scn .bif"),
    Unread(
        "raw photos",
        "develop them to JPEG",
        ".dng .cr2 .cr3 .crw .nef .nrw .arw .orf .rw2 .raf .pef .srw .raw .x3f .3fr .iiq .dcr "
        ".kdc .mrw .erf .mos .sr2 .srf",
    ),
    Unread("layers", "export them as PNG", ".psd .psb .xcf .kra .ora .afphoto .sketch"),
    Unread("drawings", "render them to PNG", ".svg .svgz .eps .ps .ai .pdf .wmf .emf .cdr .dxf"),
    Unread("videos", "save frames as PNG", ".mp4 .mov .avi .mkv .webm .mpg .mpeg .m4v .wmv .flv .fli .flc"),
    Unread("HDR", "convert them to 16-bit PNG", ".exr .hdr .rgbe"),
    Unread(
        "other picture formats",
        "convert them to PNG",
        ".jxl .jxr .wdp .hdp .djvu .fpx .pcd .pict .pct .flif .bpg .pic .blp .ftc .ftu .pxr .pam "
        ".pix .msp .im .dcx .heics .jls",
    ),
    Unread(
        "archives",
        "unpack them",
        ".zip .tar .gz .tgz .bz2 .xz .7z .rar .zst .tfrecord .tfrecords .parquet .arrow .lmdb .mdb .rec",
    ),
    Unread("places of files", "get the files themselves (dvc pull, git annex get)", ".dvc .url .lnk"),
)
"""What is said of files that are not read and may hold pictures; all other endings are no pictures."""

UNREAD_BY_SUFFIX: Mapping[str, Unread] = {suffix: row for row in UNREAD for suffix in row.suffixes.split()}

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MARKS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\xd8\xff", "JPEG", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", "PNG", ".png"),
    (b"GIF8", "GIF", ".gif"),
    *((mark, "TIFF", ".tif") for mark in TIFF_MARKS),
    (b"qoif", "QOI", ".qoi"),
    (b"DDS ", "DDS", ".dds"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", ".jp2"),
)
"""How files of a format begin, its name, and the ending that says so."""


def format_by_mark(head: bytes) -> tuple[str, str] | None:
    """Name and ending of the format that a file's first 12 bytes are of; None where they say nothing."""
    for mark, name, suffix in MARKS:
        if head.startswith(mark):
            return name, suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP", ".webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
        return ("AVIF", ".avif") if head[8:12] == b"avif" else ("HEIC", ".heic")
    return None
