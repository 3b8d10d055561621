"""``python deploy -i INPUT -o OUTPUT -m MODELS``: a CT study to DICOM SEG, SR, maps and key images.

INPUT is searched for DICOM files; MODELS may be empty (the starter release is used) or hold a release. Exit codes are
those of the command line: 0 done, 2 the input, 3 the release, 1 anything unforeseen.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from renalct.core.errors import RenalctError
from renalct.formats.output_folder import filled_folder
from renalct.host_shims import install


def main() -> int:
    """Run the graph on the command line's folders; returns the exit code. Nothing is written unless all of it is."""
    install()  # an application package has no .pth file that does it; before anything of MONAI is imported
    from app import RenalctApplication, prepare
    from monai.deploy.core import Application

    try:
        context = Application.init_app_context(sys.argv)
        logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module that it copies
        with filled_folder(Path(context.output_path)) as folder:
            shared = prepare(context, folder)
            RenalctApplication(shared).run()
            for refusal in shared.refusals:
                raise refusal
    except RenalctError as error:
        sys.stderr.write(f"renalct: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
