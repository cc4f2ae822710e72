"""ETags: of which document an answer tells, and what it says of it; whoever has that already is told no more."""

import hashlib

from flask import Request, Response

# Between the document's digest and that of all that is said of it, which is also how it fares.
END = "."
DIGEST_BYTES = 8


def tagged(request: Request, result: Response, digest: str) -> Response:
    """With its ETag: what a change made of the document, or what a GET reads, which is 304 where the client says that it has
    it (RFC 9110, 13.1.2)."""
    if request.method not in ("GET", "HEAD"):
        result.headers["ETag"] = f'"{digest}"'
        return result
    said = hashlib.blake2b(result.get_data(), digest_size=DIGEST_BYTES).hexdigest()
    tag = f"{digest}{END}{said}"
    result.headers["ETag"] = f'"{tag}"'
    if result.status_code == 200 and request.if_none_match.contains_weak(tag):
        result.status_code = 304
        result.set_data(b"")
    return result


def digest(tag: str) -> str:
    """Of the document, which alone is what a change is made of: how it fares is no part of that. Of a tag that
    names none it is the tag, which is no document's digest: "" would be that of one that is not there."""
    return tag.strip('"').partition(END)[0] or tag
