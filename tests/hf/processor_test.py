"""Images in: the pixel values and tokens of transformers' own processor, and one line for what cannot be read."""

import io
import json
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_judge
import seeing_judge
from PIL import Image

from reeval import hf
from reeval.hf.processor import Processor, open_image

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeing_judge.write_judge(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module")
def processor(directory: Path) -> Processor:
    return hf.load_processor(directory, hf.load_tokenizer(directory))


def theirs(directory: Path) -> Any:
    from transformers import Gemma3ImageProcessorPil

    return Gemma3ImageProcessorPil.from_pretrained(directory)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def rotated(image: Image.Image) -> Image.Image:
    """As a camera held sideways writes it: the pixels lie, and a tag says so."""
    image.getexif()[0x0112] = 6
    return image


def palette() -> Image.Image:
    return Image.fromarray(noise(23, 31, 3)).quantize(16)


IMAGES = {
    "grey": lambda: Image.fromarray(noise(37, 51)),
    "one row": lambda: Image.fromarray(noise(1, 200)),
    "one pixel": lambda: Image.fromarray(noise(1, 1)),
    "three wide": lambda: Image.fromarray(noise(40, 3)),  # not taken for channels
    "of the tower's size": lambda: Image.fromarray(noise(seeing_judge.SIDE, seeing_judge.SIDE, 3)),
    "colour": lambda: Image.fromarray(noise(19, 64, 3)),
    "black and white": lambda: Image.fromarray(noise(21, 22)).convert("1"),
    "palette": palette,
    "opaque": lambda: Image.fromarray(np.dstack([noise(29, 18, 3), np.full((29, 18), 255, np.uint8)])),
    "sideways": lambda: rotated(Image.fromarray(noise(16, 40, 3))),
}


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path, exif=image.getexif())
    return path


@pytest.mark.parametrize("kind", IMAGES)
def test_pixel_values_are_the_processors_and_what_it_promises(
    kind: str, directory: Path, processor: Processor, tmp_path: Path
) -> None:
    image = IMAGES[kind]()
    ours = processor.pixels(saved(image, tmp_path / "image.png"))
    assert ours.shape == processor.shape == (3, seeing_judge.SIDE, seeing_judge.SIDE) and ours.dtype == np.float32
    upright = image.transpose(Image.Transpose.ROTATE_270) if kind == "sideways" else image
    expected = theirs(directory)(upright, do_convert_rgb=True, return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(ours, expected)
    # The same by hand: bilinear to the tower's size, to 0..1, then with mean and deviation to -1..1.
    scaled = upright.convert("RGB").resize((seeing_judge.SIDE,) * 2, Image.Resampling.BILINEAR)
    by_hand = (np.asarray(scaled, np.float64) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(ours, by_hand.transpose(2, 0, 1), rtol=0, atol=1e-6)
    if kind != "one pixel":
        assert ours.std() > 0.02, "nothing to compare"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_see_through_is_as_the_processor_has_it(
    mode: str, directory: Path, processor: Processor, tmp_path: Path
) -> None:
    image = Image.fromarray(noise(33, 25, 4)).convert(mode)
    ours = processor.pixels(saved(image, tmp_path / "image.png"))
    expected = theirs(directory)(image, do_convert_rgb=True, return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM"])
def test_formats(format: str, processor: Processor, tmp_path: Path) -> None:
    image = Image.fromarray(noise(20, 30)).resize((60, 40))
    image.save(tmp_path / "lossy", format=format)
    image.save(tmp_path / "exact", format="PNG")
    ours, exact = processor.pixels(tmp_path / "lossy"), processor.pixels(tmp_path / "exact")
    assert np.abs(ours - exact).mean() < 0.1 < exact.std()


def deep_png(colour: int, channels: int) -> bytes:
    """Of 16 bits a channel, which Pillow does not write in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(2 * 5 * channels)) for _ in range(4))
    head = struct.pack(">IIBBBBB", 5, 4, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_deep_images_are_refused_in_grey_and_in_colour(
    colour: int, channels: int, processor: Processor, tmp_path: Path
) -> None:
    (tmp_path / "deep.png").write_bytes(deep_png(colour, channels))
    with pytest.raises(ValueError, match="more than 8 bits a pixel; convert it"):
        processor.pixels(tmp_path / "deep.png")


@pytest.mark.parametrize(
    "fields",
    [
        {"rescale_factor": "x"},
        {"image_std": [0, 0, 0]},
        {"image_mean": [1e39] * 3},
        {"image_mean": [0.5]},
        {"resample": 99},
    ],
)
def test_fields_that_make_no_pixel_values_are_the_directorys_fault(
    fields: dict[str, Any], directory: Path, tmp_path: Path
) -> None:
    changed = copy(directory, tmp_path / "other", **fields)
    with pytest.raises(ValueError, match="the image processor") as caught:
        hf.load_processor(changed, hf.load_tokenizer(changed))
    assert str(caught.value).startswith(f"{changed}: ") and "\n" not in str(caught.value)


def test_size_mean_and_deviation_are_the_directorys(directory: Path, tmp_path: Path) -> None:
    changed = copy(directory, tmp_path / "other", image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.3, 0.2])
    grey = Image.fromarray(np.full((9, 9), 51, np.uint8))
    ours = hf.load_processor(changed, hf.load_tokenizer(changed)).pixels(saved(grey, tmp_path / "grey.png"))
    by_hand = (0.2 - np.array([0.1, 0.2, 0.3])) / np.array([0.4, 0.3, 0.2])
    np.testing.assert_allclose(ours.mean(axis=(1, 2)), by_hand, atol=1e-6)


def test_tokens_are_the_processors(directory: Path, processor: Processor) -> None:
    from transformers import Gemma3Processor

    tokenizer = hf.load_tokenizer(directory)
    both = Gemma3Processor(theirs(directory), tokenizer, image_seq_length=seeing_judge.TOKENS)
    text = f"<bos>the image: {processor.placeholder} two words"
    given = both(images=Image.fromarray(noise(20, 20)), text=text, add_special_tokens=False)
    ours = tokenizer(text.replace(processor.placeholder, processor.expanded), add_special_tokens=False)["input_ids"]
    assert given["input_ids"] == [ours]
    assert given["token_type_ids"] == [[int(token == processor.token) for token in ours]]
    assert ours.count(processor.token) == seeing_judge.TOKENS


def test_what_transformers_5_saves_is_read(directory: Path, processor: Processor, tmp_path: Path) -> None:
    """One file for all of a processor; and the names of the image tokens where transformers 4 writes them too."""
    from transformers import Gemma3Processor

    tokenizer = hf.load_tokenizer(directory)
    Gemma3Processor(theirs(directory), tokenizer, image_seq_length=seeing_judge.TOKENS).save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())
    file = tmp_path / "tokenizer_config.json"
    config = json.loads(file.read_text())
    config["extra_special_tokens"] = {name: config[name] for name in ("boi_token", "eoi_token", "image_token")}
    file.write_text(json.dumps(config))
    again = hf.load_processor(tmp_path, hf.load_tokenizer(tmp_path))
    image = saved(Image.fromarray(noise(30, 20)), tmp_path / "image.png")
    np.testing.assert_array_equal(again.pixels(image), processor.pixels(image))
    assert (again.expanded, again.token) == (processor.expanded, processor.token)


def copy(directory: Path, to: Path, **preprocessor: Any) -> Path:
    """The directory's configs and tokenizer, with other fields in preprocessor_config.json."""
    to.mkdir()
    for file in [*directory.glob("*.json"), *directory.glob("*.jinja")]:
        (to / file.name).write_bytes(file.read_bytes())
    edit(to / "preprocessor_config.json", **preprocessor)
    return to


def edit(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("file", "fields", "message"),
    [
        ("preprocessor_config.json", {"do_pan_and_scan": True}, "do_pan_and_scan is not supported"),
        ("preprocessor_config.json", {"do_resize": False}, "not of 12 pixels a side, as config.json says"),
        ("preprocessor_config.json", {"size": {"height": 12, "width": 24}}, "not of 12 pixels a side"),
        ("preprocessor_config.json", {"size": {"shortest_edge": 12}}, "not of 12 pixels a side"),
        ("preprocessor_config.json", {"image_processor_type": "ViTImageProcessor"}, "is not Gemma3ImageProcessor"),
        ("preprocessor_config.json", {"size": "large"}, "the image processor cannot be read"),
        ("processor_config.json", {"image_seq_length": 9}, "makes 9 tokens of an image, config.json 4"),
        ("config.json", {"image_token_index": 3}, "the tokenizer's image token is 9, that of config.json 3"),
        ("tokenizer_config.json", {"boi_token": None}, "does not say which token is its boi_token"),
    ],
)
def test_a_directory_that_disagrees_with_itself_is_refused(
    file: str, fields: dict[str, Any], message: str, directory: Path, tmp_path: Path
) -> None:
    changed = copy(directory, tmp_path / "changed")
    edit(changed / file, **fields)
    refused(changed, message)


def refused(directory: Path, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        hf.load_processor(directory, hf.load_tokenizer(directory))
    assert message in str(caught.value) and str(caught.value).startswith(str(directory))
    assert "\n" not in str(caught.value)


def test_a_directory_without_what_it_needs_is_refused(directory: Path, tmp_path: Path) -> None:
    changed = copy(directory, tmp_path / "changed")
    (changed / "processor_config.json").unlink()
    hf.load_processor(changed, hf.load_tokenizer(changed))  # config.json says it too
    (changed / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: not valid JSON"):
        hf.load_processor(changed, hf.load_tokenizer(changed))
    (changed / "preprocessor_config.json").unlink()
    refused(changed, "no preprocessor_config.json, which says how images are scaled; fetch it too")
    refused(random_judge.write_judge(tmp_path / "blind"), "this model has no vision tower")


def png(*, width: int = 40, height: int = 40) -> bytes:
    out = io.BytesIO()
    Image.fromarray(noise(height, width)).save(out, "PNG")
    return out.getvalue()


def bomb() -> bytes:
    """A PNG that claims to be far larger than it is."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return png()[:8] + struct.pack(">I", 13) + chunk + png()[33:]


def tiff(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "TIFF")
    return out.getvalue()


BAD = {
    "empty": (lambda: b"", "is damaged or in no format that is read (PNG, JPEG"),
    "text": (lambda: b"Small effusion of Mr Smith.", "is damaged or in no format"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n", "is damaged or in no format"),
    "header alone": (lambda: png()[:20], "is damaged or in no format"),
    "cut off": (lambda: png()[:-200], "is damaged or in no format"),
    "a wrong byte": (lambda: png()[:60] + b"x" + png()[61:], "is damaged or in no format"),
    "too large": (bomb, "pixels; scale it down"),
    "16 bits": (lambda: tiff(RNG.integers(0, 4096, (9, 9)).astype(np.uint16)), "has more than 8 bits a pixel"),
    "32 bits": (lambda: tiff(RNG.integers(0, 4096, (9, 9)).astype(np.int32)), "has more than 8 bits a pixel"),
    "fractions": (lambda: tiff(RNG.uniform(size=(9, 9)).astype(np.float32)), "has more than 8 bits a pixel"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_image_is_refused_in_one_line_that_quotes_nothing(
    kind: str, processor: Processor, tmp_path: Path
) -> None:
    make, message = BAD[kind]
    file = tmp_path / "smith.png"
    file.write_bytes(make())
    for read in (processor.pixels, open_image):
        with pytest.raises(ValueError) as caught:
            read(file)
        assert message in str(caught.value)
        assert "mith" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_image_of_doubtful_size_is_refused_without_a_warning(
    processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(png())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns from here on, and raises from twice that
    with warnings.catch_warnings(record=True) as said, pytest.raises(ValueError, match="more than 1000 pixels"):
        warnings.simplefilter("always")
        processor.pixels(file)
    assert not said


def test_a_file_that_is_gone_is_not_named(processor: Processor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^the image cannot be read \(No such file or directory\)$"):
        processor.pixels(tmp_path / "smith.png")
