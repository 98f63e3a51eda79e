"""A template's file, read by AWS's own translator of SAM.

Code that is a path in the template becomes what the API knows as a local folder or an archive, by
the conventions of ``serve``.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from lambda_emulator.project.errors import RunError, UsageError
from lambda_emulator.service.code import HOT_RELOAD

Document = dict[str, Any]
_SAM = "AWS::Serverless-2016-10-31"
# The property with the code of each type that has some.
_CODE = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Lambda::Function": "Code",
    "AWS::Lambda::LayerVersion": "Content",
}


def read(path: Path, parameters: dict[str, str], region: str) -> Document:
    """The template as CloudFormation, with its local code found.

    Raises UsageError for a file that is no template, and RunError if SAM refuses it.
    """
    template = _parse(path)
    _merge_globals(template)
    for name, resource in template["Resources"].items():
        _find_code(path.parent.resolve(), name, resource)
    transforms = template.get("Transform", [])
    if _SAM in (transforms if isinstance(transforms, list) else [transforms]):
        template = _translate(template, parameters, region)
    return template


def _parse(path: Path) -> Document:
    import yaml  # type: ignore[import-untyped]
    from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

    try:
        template = yaml_parse(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    resources = template.get("Resources") if isinstance(template, dict) else None
    if not isinstance(resources, dict) or not resources:
        raise UsageError(f"{path}: is no template: it has no Resources")
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise UsageError(f"{path}: the resource {name} has no Type")
    found: Document = template
    return found


def _merge_globals(template: Document) -> None:
    """Give functions the CodeUri of Globals, which is relative to the template, too."""
    everywhere = template.get("Globals", {}).get("Function", {})
    if isinstance(everywhere, dict) and "CodeUri" in everywhere:
        code = everywhere.pop("CodeUri")
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                properties = resource.setdefault("Properties", {})
                if not {"CodeUri", "InlineCode", "ImageUri"} & set(properties):
                    properties["CodeUri"] = code


def _find_code(folder: Path, name: str, resource: Document) -> None:
    key = _CODE.get(resource["Type"])
    if key is None:
        return
    properties = resource.setdefault("Properties", {})
    asset = resource.get("Metadata", {}).get("aws:asset:path")
    code = properties.get(key)
    if asset is None and isinstance(code, dict):
        asset = _cdk_asset(folder, code)
    local = asset or (code if isinstance(code, str) else None)
    if local is None or local.startswith("s3://"):
        return
    path = folder / local
    if not path.exists():
        raise UsageError(f"the code of {name} is not there: {path}")
    serverless = resource["Type"].startswith("AWS::Serverless")
    names = ("Bucket", "Key") if serverless else ("S3Bucket", "S3Key")
    properties[key] = dict(zip(names, (HOT_RELOAD, os.path.abspath(path)), strict=True))


def _cdk_asset(folder: Path, code: Document) -> str | None:
    """What ``cdk synth`` has put beside its template, by the asset's hash."""
    key = code.get("S3Key")
    if not isinstance(key, str):
        return None
    stem = key.removesuffix(".zip")
    return next((one for one in (f"asset.{stem}", f"asset.{key}") if (folder / one).exists()), None)


def _translate(template: Document, parameters: dict[str, str], region: str) -> Document:
    from boto3 import Session  # type: ignore[import-untyped]
    from samtranslator.model.exceptions import (  # type: ignore[import-untyped]
        InvalidDocumentException,
    )
    from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
    from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

    # Errors come as exceptions; what it logs repeats them.
    logging.getLogger("samtranslator").setLevel(logging.CRITICAL)
    translator = Translator({}, Parser(), boto_session=Session(region_name=region))
    try:
        translated: Document = translator.translate(template, parameters)
    except InvalidDocumentException as error:
        causes = [str(getattr(cause, "message", cause)) for cause in error.causes]
        raise RunError(
            "SAM refuses the template:\n" + "\n".join(f"  {one}" for one in causes)
        ) from (error)
    return translated
