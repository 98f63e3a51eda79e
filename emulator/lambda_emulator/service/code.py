"""The code of a function or layer, from wherever a caller says that it is."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lambda_emulator.apis.errors import invalid
from lambda_emulator.service.archives import LARGEST_UNPACKED, Archives, sha256
from lambda_emulator.service.runtimes import check_image

Document = dict[str, Any]
# LocalStack's convention for code that is a folder of the developer's machine.
HOT_RELOAD = "hot-reload"
_LARGEST_INLINE = 50 * 1024 * 1024


async def read(archives: Archives, region: str, code: Document) -> Document:
    """Where the code is from now on: ``archive``, ``folder`` or ``image``. Raises ApiError."""
    if "ImageUri" in code:
        root = Path(urlsplit(code["ImageUri"]).path)
        await asyncio.to_thread(check_image, root)
        return {"image": str(root)}
    if code.get("S3Bucket") == HOT_RELOAD:
        return {"folder": str(_folder(code.get("S3Key", "")))}
    return {"archive": await asyncio.to_thread(archives.add, await content(region, code))}


async def content(region: str, code: Document) -> bytes:
    """The archive's bytes, sent inline or lying in S3. Raises ApiError."""
    if "ZipFile" in code:
        data: bytes = code["ZipFile"]
        if len(data) > _LARGEST_INLINE:
            raise invalid(f"Request must be smaller than {_LARGEST_INLINE} bytes: use S3")
        return data
    if "S3Bucket" in code and "S3Key" in code:
        return await asyncio.to_thread(_from_s3, region, code)
    raise invalid("Please provide a source for function code: ZipFile, S3Bucket and S3Key, or "
                  "ImageUri")  # fmt: skip


def _folder(key: str) -> Path:
    path = Path(key)
    if not path.is_absolute() or not path.is_dir():
        raise invalid(f"S3Bucket {HOT_RELOAD}: S3Key {key!r} is not the absolute path of a folder")
    return path


def _from_s3(region: str, code: Document) -> bytes:
    """An object of S3, at AWS_ENDPOINT_URL_S3 or wherever the SDK's settings say."""
    from botocore.exceptions import (  # type: ignore[import-untyped]
        BotoCoreError,
        ClientError,
    )
    from botocore.session import Session  # type: ignore[import-untyped]

    where = f"s3://{code['S3Bucket']}/{code['S3Key']}"
    version = {"VersionId": code["S3ObjectVersion"]} if "S3ObjectVersion" in code else {}
    try:
        client = Session().create_client("s3", region_name=region)
        found = client.get_object(Bucket=code["S3Bucket"], Key=code["S3Key"], **version)
        if found["ContentLength"] > LARGEST_UNPACKED:
            raise invalid(f"{where} is larger than {LARGEST_UNPACKED} bytes")
        data: bytes = found["Body"].read()
        return data
    except ClientError as error:
        said = error.response["Error"]
        raise invalid(
            f"Error occurred while GetObject of {where}. S3 Error Code: {said['Code']}. "
            f"S3 Error Message: {said['Message']}"
        ) from error
    except (BotoCoreError, ValueError) as error:
        advice = "set AWS_ENDPOINT_URL_S3 and credentials where lambda-emulator runs"
        raise invalid(f"{where} cannot be read: {error} ({advice})") from error


def described(archives: Archives, code: Document) -> Document:
    """``CodeSha256`` and ``CodeSize`` of the code."""
    if "archive" in code:
        name = code["archive"]
        return {
            "CodeSha256": sha256(name),
            "CodeSize": archives.path(name).stat().st_size,
        }
    place = code.get("folder") or code["image"]
    return {"CodeSha256": sha256(hashlib.sha256(place.encode()).hexdigest()),
            "CodeSize": 0}  # fmt: skip


def located(endpoint: str, code: Document) -> Document:
    """Where a caller can fetch the code: the member ``Code`` of GetFunction."""
    if "image" in code:
        return {
            "RepositoryType": "ECR",
            "ImageUri": code["image"],
            "ResolvedImageUri": code["image"],
        }
    if "folder" in code:
        return {"RepositoryType": "S3", "Location": Path(code["folder"]).as_uri()}
    location = f"{endpoint}/_emulator/code/{code['archive']}.zip"
    return {"RepositoryType": "S3", "Location": location}
