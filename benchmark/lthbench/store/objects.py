"""Objects below a URL, by whatever of fsspec's file systems reaches it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lthbench.errors import BadInput, Unwritable
from lthbench.files import PART, create, make_folder, publish

_LOCAL = ("file:", "local:")


class Objects:
    """Objects below a URL. Raises BadInput at first, Unwritable later, where they cannot be reached."""

    def __init__(self, url: str):
        self._url = url
        self.ready = False  # whether a store was found there: what fails from then on ends a run
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise BadInput(f"store {url} needs the package fsspec: pip install 'lthbench[remote]'") from error
        try:
            folders = {"auto_mkdir": True} if url.startswith(_LOCAL) else {}
            self._fs, self._root = url_to_fs(url, use_listings_cache=False, **folders)
        except ImportError as error:
            raise BadInput(f"store {url}: {str(error).rstrip('.')} (pip install PACKAGE).") from error
        except Exception as error:  # each file system raises its own kinds
            raise BadInput(f"store {url}: {_said(error)}") from error
        self._root = self._root.rstrip("/")
        # A folder of this machine: fsspec would write files there bit by bit.
        self._folder = Path(self._root) if url.startswith(_LOCAL) else None

    def read(self, name: str) -> bytes | None:
        """The content of a small object; None where there is none."""
        try:
            with self._asked():
                content: bytes = self._fs.cat_file(self._path(name))
                return content
        except FileNotFoundError:
            return None

    def get(self, name: str, target: Path) -> bool:
        """Copy an object into a file. False where there is none."""
        try:
            with self._asked():
                self._fs.get_file(self._path(name), str(target))
        except FileNotFoundError:
            return False
        return True

    def there(self, name: str) -> bool:
        """Whether there is an object of this name."""
        with self._asked():
            return bool(self._fs.isfile(self._path(name)))

    def put(self, name: str, content: bytes | Path) -> None:
        """Write an object, whatever is there."""
        with self._asked(FileNotFoundError):
            if self._folder is not None:
                publish(self._file(name), content.read_bytes() if isinstance(content, Path) else content)
            elif isinstance(content, Path):
                self._fs.put_file(str(content), self._path(name))
            else:
                self._fs.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes | Path) -> bool:
        """Write an object unless there is one: whether it was written. As exact as the object store is.

        False, too, where the object is just being written or deleted by others, who said so.
        """
        try:
            with self._asked(FileNotFoundError):
                if self._folder is not None:
                    read = content.read_bytes() if isinstance(content, Path) else content
                    return create(self._file(name), read)
                try:
                    if isinstance(content, Path):
                        self._fs.put_file(str(content), self._path(name), mode="create")
                    else:
                        self._fs.pipe_file(self._path(name), content, mode="create")
                except OSError as error:
                    if _conflicts(error):
                        return False
                    raise
        except FileExistsError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Delete an object, if there is one."""
        with contextlib.suppress(FileNotFoundError), self._asked():
            self._fs.rm_file(self._path(name))

    def below(self, name: str) -> dict[str, int]:
        """The bytes of all objects below a name, by their whole names."""
        with self._asked():
            found: dict[str, Any] = self._fs.find(self._path(name), detail=True)
        whole = ((path, facts) for path, facts in found.items() if not path.endswith(PART))
        return {path: int(facts.get("size") or 0) for path, facts in whole}

    def names(self) -> list[str]:
        """What is directly below the URL."""
        try:
            with self._asked():
                found = sorted(self._fs.ls(self._root, detail=False))
        except FileNotFoundError:
            return []
        names = (str(path).rstrip("/").rpartition("/")[2] for path in found)
        return [name for name in names if not name.endswith(PART)]

    def _file(self, name: str) -> Path:
        """The file of an object, in a folder that is there."""
        path = Path(self._path(name))
        make_folder(path.parent)
        return path

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _asked(self, *faults: type[Exception]) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # what lies behind a file system raises dozens of kinds
            if isinstance(error, FileNotFoundError | FileExistsError) and not isinstance(error, faults):
                raise
            if not self.ready:
                raise BadInput(f"store {self._url}: cannot be reached: {_said(error)}") from error
            raise Unwritable(
                f"store {self._url}: {_said(error)}. What was finished is stored; give the same command "
                "again."
            ) from error


#: What S3 says where somebody else writes or deletes the same object at this moment (HTTP 409).
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")


def _conflicts(error: OSError) -> bool:
    """Whether an object was not written as somebody else writes or deletes it.

    The kind of the error does not tell: s3fs makes one of conflicts and of servers that are too busy.
    """
    response = getattr(error.__cause__, "response", None)
    told = response.get("Error") if isinstance(response, Mapping) else None
    code = str(told.get("Code")) if isinstance(told, Mapping) else ""
    return code in (*_CONFLICTS, "409") or any(name in str(error) for name in _CONFLICTS)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}".rstrip(".: ")
