"""The API's description as an OpenAPI document (version 3.1.0)."""

from __future__ import annotations

from typing import Any

from covid19 import NOTICE, __version__
from covid19.audit.explanation import NOT_TESTED, STATUS
from covid19.inference.server.multipart import MAX_FILE_BYTES, MAX_FILES, MAX_REQUEST_BYTES
from covid19.model.shift import MIN_BATCH_IMAGES


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


ANSWER = {
    "type": "object",
    "required": ["file", "label", "probabilities", "novelty_percentile", "problem", "heat_on_lungs", "training_image"],
    "properties": {
        "file": {"type": "string", "description": "The file's name, without any folder."},
        "label": {"type": "string", "description": "The predicted class. Empty where there is a problem."},
        "probabilities": {
            "type": "object",
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
            "description": "The calibrated probability of each class. Empty where there is no label.",
        },
        "novelty_percentile": {
            "type": ["number", "null"],
            "description": "Percentile of the distance to the training images, 0 to 100. Null for a file that cannot be read.",
        },
        "problem": {"type": "string", "description": "Why there is no label, or empty."},
        "heat_on_lungs": {
            "type": ["number", "null"],
            "description": "Fraction of the heat map for the label that lies on the lungs. Null without a label, or if the "
            "model was trained without looking for lungs.",
        },
        "training_image": {
            "type": "string",
            "enum": ["", "same file", "near-duplicate"],
            "description": "Whether the model was trained on this very file or on nearly this image: then what it says means "
            "nothing. Else empty.",
        },
        "picture": {"type": "string", "description": "With pictures=true: the image as a JPEG data URL."},
        "heat": {
            "type": "string",
            "description": "With pictures=true: the Grad-CAM heat map as a PNG data URL with transparency, to be laid over the "
            "picture. Empty where no label is given.",
        },
    },
}
MODEL = {
    "type": "object",
    "description": "What is known of the model.",
    "properties": {
        "status": {
            "type": "string",
            "enum": [*STATUS.values(), NOT_TESTED],
            "description": "What the shortcut audit of the training data found, in a word.",
        },
        "verdict": {"type": "string", "description": "The same in sentences."},
        "labels_withheld": {"type": "boolean", "description": "Whether labels come only with labels=true."},
        "positive": {"type": "string", "description": "The positive class."},
        "threshold": {
            "type": ["number", "null"],
            "description": "Probability from which the positive class is predicted. Null where, of more than two classes, the "
            "most probable is.",
        },
        "decision": {"type": "string", "description": "When the positive class is predicted, as a sentence."},
        "region": {"type": "string", "enum": ["image", "lungs"], "description": "What the model is given of an image."},
        "base": {"type": "string", "description": "Where the weights of the base come from."},
        "cross_validation": {"type": ["object", "null"], "description": "Cross-validated numbers with 95 % intervals."},
        "audit": {"type": ["object", "null"], "description": "The verdict of the shortcut audit."},
        "notice": {"type": "string", "description": NOTICE},
    },
}
COUNT = {
    "type": ["object", "null"],
    "description": "How many of some images were predicted positive.",
    "properties": {
        "positives": {"type": "integer", "description": "Images for which the positive class is predicted."},
        "images": {"type": "integer", "description": "Images with a label."},
    },
}
SHIFT = {
    "type": ["object", "null"],
    "description": f"Whether {MIN_BATCH_IMAGES} images or more look like the training images as a whole. Null for fewer.",
    "properties": {
        "images": {"type": "integer", "description": "Images that were compared; those of the training are left out."},
        "p_value": {"type": "number", "description": "That images of the training images' source would lie as far from them."},
        "predicted": _reference("Count") | {"description": "Of these images. Null where labels are withheld."},
        "expected": _reference("Count") | {"description": "Of the training images, in the cross-validation."},
        "positives_p_value": {"type": ["number", "null"], "description": "That the two come from the same fraction."},
        "shifted": {"type": "boolean", "description": "Whether the probabilities should not be trusted."},
        "finding": {"type": "string", "description": "The same as a sentence."},
        "words": {"type": "string", "description": "The sentence with its numbers."},
    },
}
ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string", "description": "What was wrong."}}}
REFUSALS = {
    "400": "The body is malformed, holds no file or holds something else than files.",
    "401": "The page was started with --api-token, and the request does not carry that token.",
    "403": "The request comes from a browser and not from the page itself.",
    "408": "The body took too long to arrive.",
    "413": f"More than {MAX_FILES} files, a file of more than {MAX_FILE_BYTES / 1e6:.0f} MB, or a request of more than "
    f"{MAX_REQUEST_BYTES / 1e6:.0f} MB.",
    "415": "The body is not multipart/form-data.",
    "421": "The Host header is none of the names that the page listens as.",
    "503": "Too many requests at once.",
}


def describe_api() -> dict[str, Any]:
    """The OpenAPI document."""
    answers = {
        "type": "object",
        "required": ["model", "answers"],
        "properties": {
            "model": _reference("Model"),
            "answers": {"type": "array", "items": _reference("Answer"), "description": "In the order of the files."},
            "shift": _reference("Shift"),
            "csv": {"type": "string", "description": "With csv=true: the answers as a CSV table."},
        },
    }
    files = {
        "type": "object",
        "required": ["files"],
        "properties": {
            "files": {
                "type": "array", "minItems": 1, "maxItems": MAX_FILES,
                "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                "description": "PNG, JPEG, BMP, TIFF or DICOM files.",
            }
        },
    }  # fmt: skip
    predict = {
        "summary": "Answer for one or several images",
        "description": "Each file gets its answer, in the order sent. A file that cannot be read gets an empty label and the "
        "reason; the others go on. Nothing that was sent is kept.",
        "security": [{}, {"token": []}],
        "parameters": [
            _flag("pictures", "Whether each answer also carries the picture and the heat map."),
            _flag("labels", "Whether answers have labels and probabilities although the program withholds them."),
            _flag("csv", "Whether the answers also come as a CSV table."),
        ],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": files}}},
        "responses": {
            "200": _response("The answers.", answers),
            **{status: _response(text, _reference("Error")) for status, text in REFUSALS.items()},
        },
    }
    health = {
        "summary": "Whether the model is loaded",
        "responses": {
            "200": _response(
                "The model is loaded.", {"type": "object", "properties": {"status": {"type": "string", "const": "ready"}}}
            )
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "covid19", "version": __version__, "description": NOTICE},
        "paths": {"/api/predict": {"post": predict}, "/health": {"get": health}},
        "components": {
            "schemas": {"Answer": ANSWER, "Model": MODEL, "Shift": SHIFT, "Count": COUNT, "Error": ERROR},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Needed if the page was started with --api-token."}
            },
        },
    }


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _flag(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "boolean", "default": False}, "description": description}
