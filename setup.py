"""Packaging: `pip install .` brings the `covid19` command and what it needs; `pip install .[test]` what the tests need."""

import re
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
dicom = ["pylibjpeg>=2.1,<3", "pylibjpeg-libjpeg>=2.5,<3", "pylibjpeg-openjpeg>=2.6,<3"]  # compressed DICOM files
onnx = ["onnx>=1.23,<2", "tf2onnx>=1.17,<2"]
serve = ["starlette>=1.10,<2", "uvicorn>=0.54,<0.55", "python-multipart>=0.0.34,<0.1"]
cluster = ["ray[client,data]>=2.60,<3", "universal-pathlib>=0.3.10,<0.4"]
setup(
    name="covid19",
    version=re.search(r'__version__ = "(.+)"', (here / "covid19/__init__.py").read_text())[1],
    description="Trains a head on a frozen VGG16 to tell COVID-19 from other chest X-rays, and says how far to believe it",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11,<3.14",
    packages=["covid19"],
    py_modules=["train_covid19"],
    package_data={"covid19": ["py.typed", "templates/*", "static/*"]},
    install_requires=(here / "requirements.txt").read_text().split(),
    extras_require={
        "cluster": cluster,  # --cluster, and addresses such as s3://bucket/xrays
        "dicom": dicom,
        "download": ["kagglehub>=1.0,<2"],  # covid19 prepare --download
        "onnx": onnx,  # covid19 export --format onnx
        "serve": serve,
        "test": [
            *dicom,
            *onnx,
            *serve,
            *cluster,
            "httpx>=0.28,<0.29",
            "onnxruntime>=1.32,<2",
            "hypothesis>=6.170,<7",
            "playwright>=1.60,<2",
            "pytest>=9.0,<10",
            "ruff>=0.17,<0.18",
            "mypy>=2.4,<2.5",
        ],
    },
    entry_points={"console_scripts": ["covid19 = covid19.cli:main"]},
)
