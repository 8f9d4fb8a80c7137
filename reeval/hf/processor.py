"""The image processor of a checkpoint directory: a file to the pixel values and the tokens that a model takes.

The pixel values are those of transformers' own processor, run on Pillow and NumPy.
"""

import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from reeval.hf.names import load_config, read_json
from reeval.models import MedGemmaConfig

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
# Under one name or another, what Gemma 3's images go through.
_TYPES = ("Gemma3ImageProcessor", "Gemma3ImageProcessorFast", "Gemma3ImageProcessorPil")
# Raster formats that Pillow reads by itself: others start programs (EPS) or want a plugin.
# All of these say how deep they are: of JPEG 2000 Pillow gives no sign that it has dropped bits.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM")


class Processor:
    """What an image is to one model.

    Attributes:
        placeholder: what the chat template writes for an image.
        expanded: what takes its place before the text is tokenised.
        token: the id of the token that an image's soft tokens take the place of, of which `expanded` holds as many.
        shape: of an image's pixel values, (channels, side, side).
    """

    def __init__(self, images: Any, tokenizer: Any, *, count: int, token: int, shape: tuple[int, int, int]):
        self._images = images
        self.placeholder: str = tokenizer.boi_token
        self.expanded = f"\n\n{tokenizer.boi_token}{tokenizer.image_token * count}{tokenizer.eoi_token}\n\n"
        self.token, self.shape = token, shape

    def pixels(self, file: str | Path | IO[bytes]) -> np.ndarray:
        """The pixel values of an image file, `shape` float32.

        Raises:
            ValueError: one line that does not name the file, see `open_image`.
        """
        # Google's file leaves the first open, and transformers' processor then fails on a grey image.
        options = {"do_convert_rgb": True, "do_pan_and_scan": False, "return_tensors": "np"}
        values = np.asarray(self._images(open_image(file), **options)["pixel_values"][0], np.float32)
        assert values.shape == self.shape, values.shape
        return values


def load_processor(path: str | Path, tokenizer: Any) -> Processor:
    """The image processor of a local directory of a model that sees images; never asks the network.

    Args:
        tokenizer: of the same directory, as `load_tokenizer` gives it.
    Raises:
        ValueError: one line, if the model has no vision tower, files are missing or damaged, or they disagree.
    """
    directory = Path(path)
    config = load_config(directory)
    if not isinstance(config, MedGemmaConfig):
        raise ValueError(f"{directory}: this model has no vision tower, so it can be given no images")
    count, token = config.tokens_per_image, config.image_token
    shape = (config.vision.channels, config.vision.image_size, config.vision.image_size)
    whole = read_json(directory / PROCESSOR) if (directory / PROCESSOR).is_file() else {}
    # transformers 5 saves one file for all of a processor.
    if "image_processor" in whole:
        raw = whole["image_processor"]
    elif (directory / PREPROCESSOR).is_file():
        raw = read_json(directory / PREPROCESSOR)
    else:
        raise ValueError(f"{directory}: no {PREPROCESSOR}, which says how images are scaled; fetch it too")
    images = _image_processor(directory, raw)
    size = images.size
    problems = []
    if raw.get("image_processor_type") not in _TYPES:
        problems.append(f"image_processor_type is not {_TYPES[0]}")
    if images.do_pan_and_scan:
        problems.append("do_pan_and_scan is not supported")
    if not images.do_resize or (size.height, size.width) != shape[1:]:
        problems.append(f"the images that it makes are not of {shape[1]} pixels a side, as config.json says")
    if whole.get("image_seq_length", count) != count:
        problems.append(f"{PROCESSOR} makes {whole['image_seq_length']!r} tokens of an image, config.json {count}")
    missing = [name for name in ("boi_token", "eoi_token", "image_token") if not getattr(tokenizer, name, None)]
    if missing:
        problems.append(f"the tokenizer does not say which token is its {' and '.join(missing)}")
    elif tokenizer.image_token_id != token:
        problems.append(f"the tokenizer's image token is {tokenizer.image_token_id}, that of config.json {token}")
    if problems:
        raise ValueError(f"{directory}: images cannot be used: {'; '.join(problems)}")
    processor = Processor(images, tokenizer, count=count, token=token, shape=shape)
    _try(directory, processor)
    return processor


def _try(directory: Path, processor: Processor) -> None:
    """Make sure that what the processor's fields say can be computed, before an image is blamed."""
    from PIL import Image

    blank = BytesIO()
    Image.new("RGB", (2, 3), "grey").save(blank, "PNG")
    with np.errstate(all="ignore"):
        try:
            usable = bool(np.isfinite(processor.pixels(blank)).all())
        except Exception:  # whatever transformers raises for a field that it does not like
            usable = False
    if not usable:
        raise ValueError(f"{directory}: the image processor's fields make no pixel values; fetch its files again")


def open_image(file: str | Path | IO[bytes]) -> Any:
    """A Pillow image, read to its end and upright.

    Raises:
        ValueError: one line that does not name the file, which may be protected: it cannot be read, is damaged or no
            image, is larger than Pillow trusts, or holds more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                # Pillow keeps 8 bits of a deeper colour image; only how it is to unpack the file says so.
                deep = any(";16" in str(tile[3]) for tile in image.tile)
                image.load()
                mode, upright = image.mode, ImageOps.exif_transpose(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"the image has more than {Image.MAX_IMAGE_PIXELS} pixels; scale it down") from None
    except Exception as error:  # Pillow's readers raise many kinds
        if isinstance(error, OSError) and error.strerror:
            raise ValueError(f"the image cannot be read ({error.strerror})") from None
        raise ValueError(f"the image is damaged or in no format that is read ({', '.join(_FORMATS)})") from None
    if deep or mode.startswith(("I", "F")):  # I, I;16 and its byte orders, F
        # Pillow would clip such values, or drop their low bits, and leave a white image or a black one.
        raise ValueError("the image has more than 8 bits a pixel; convert it to 8 bits, with the window that you want")
    return upright


def _image_processor(directory: Path, raw: dict[str, Any]) -> Any:
    # Costly to import, and not needed without images. That it misses torch is no news. AutoImageProcessor would do for
    # transformers 5.23; 5.17's wants torchvision.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from transformers import Gemma3ImageProcessorPil

    try:
        return Gemma3ImageProcessorPil.from_dict(raw)
    except Exception as error:  # whatever transformers raises for a field that it does not like
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{directory}: the image processor cannot be read ({reason}); fetch its files again") from None
