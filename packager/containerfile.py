"""The packager's Dockerfile, edited into one that builds a CPU image on Debian 12, and runs hardened as any user.

The packager's own file needs NVIDIA's registry, keys and network, installs without checking a hash but for those of
the lock, and installs for one user only. Each edit names what it replaces; where that is not there exactly once, the
packager has changed, and the edit is an error and not a silent nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from renalct.core.errors import InputError

WHEELS = "wheelhouse"  # not `wheels`: the packager's .dockerignore leaves that name out
PROGRAMS = ("jq", "python3", "python3-pip")
_USER_SITE = "RUN pip install --no-cache-dir --user -r /tmp/requirements.txt\n"


@dataclass(frozen=True)
class Edit:
    """One replacement: why, the pattern (which may span lines), and what comes instead."""

    why: str
    pattern: str
    instead: str


def portable(dockerfile: str, *, base: str) -> str:
    """The edited Dockerfile on the image `base`, a Debian 12.

    Layout, labels, variables, manifests and entry point stay the packager's. Raises `InputError` where an edit does not
    apply exactly once.
    """
    for edit in edits(base):
        before, *after = re.split(edit.pattern, dockerfile, flags=re.DOTALL)
        count = len(after)
        dockerfile = edit.instead.join((before, *after))
        if count != 1:
            raise InputError(
                f"the packager's Dockerfile holds {count} places for the edit {edit.why!r}, and 1 was expected: "
                "packager/containerfile.py was written for holoscan-cli 4.2.0"
            )
    return re.sub(r"\n{3,}", "\n\n", dockerfile)


def edits(base: str) -> tuple[Edit, ...]:
    """The edits, in their order."""
    programs = " ".join(PROGRAMS)
    return (
        Edit("base image", r"FROM nvcr\.io/\S+ AS base\n", f"FROM {base} AS base\n"),
        Edit("base image's label", r'LABEL base="[^"]*"', f'LABEL base="{base}"'),
        Edit(
            "Debian's programs, where the base has none yet",
            r"RUN apt-get update \\\n    && apt-get install[^&]*curl[^&]*&& rm -rf /var/lib/apt/lists/\*\n",
            f"RUN dpkg --verify {programs} 2> /dev/null || {{ apt-get update \\\n"
            f"    && apt-get install -y --no-install-recommends --no-install-suggests {programs} \\\n"
            "    && rm -rf /var/lib/apt/lists/*; }\n",
        ),
        Edit("no key of NVIDIA's", r"# Update NV GPG repo key\n.*?&& apt-get update\n", ""),
        Edit(
            "no pinned Python of Ubuntu",
            r"# If torch is installed, we can skip installing Python\n.*?&& rm -rf /var/lib/apt/lists/\*\n",
            "",
        ),
        Edit(
            "Debian's Python lets pip install",
            r"RUN rm -rf /usr/lib/python3\.12/EXTERNALLY-MANAGED\n",
            "RUN rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED\n",
        ),
        Edit("a user who cannot become root", r" -G sudo ", " "),
        Edit(
            "the user owns the output folder, and no program",
            r"RUN chown -R holoscan /var/holoscan && .*?/var/holoscan/output\n",
            "RUN chown holoscan /var/holoscan/output\n",
        ),
        Edit(
            "the entry point ends with the exit code of the application, and not always with 0",
            r"RUN chmod \+x /var/holoscan/tools\n",
            "RUN chmod +x /var/holoscan/tools && echo 'exit ${exit_code:-0}' >> /var/holoscan/tools\n",
        ),
        Edit("packages are installed for every user, by root", r"USER \$UNAME\n", ""),
        Edit("no library is looked for in the working directory", r"ENV LD_LIBRARY_PATH=\$LD_LIBRARY_PATH:\S+\n", ""),
        Edit("no program is looked for in a home folder", r"ENV PATH=/home/\S+\n", ""),
        Edit("pip is in the lock", r"RUN pip install --upgrade pip\n", ""),
        Edit(
            "every file's hash is checked, and no network is asked",
            re.escape(_USER_SITE),
            f"RUN --mount=type=bind,source={WHEELS},target=/{WHEELS} \\\n"
            f"    pip install --no-cache-dir --root-user-action ignore --no-index --find-links /{WHEELS} \\\n"
            "        --require-hashes -r /tmp/requirements.txt && rm /tmp/requirements.txt\n",
        ),
        Edit("the SDK is in the lock", r"# Install MONAI Deploy from PyPI org\nRUN pip install \S+\n", ""),
        Edit(
            "our modules are compiled, as nobody may write there later; a user by number, whom Kubernetes can check",
            r"ENTRYPOINT ",
            "RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/holoscan/app\n\n"
            "# MONAI asks for the user's name, and a user whom the image does not know has none.\n"
            "ENV LOGNAME=holoscan\nENV PYTHONDONTWRITEBYTECODE=1\n\nUSER $UID:$GID\n\nENTRYPOINT ",
        ),
    )
