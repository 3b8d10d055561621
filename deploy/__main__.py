"""``python deploy -i INPUT -o OUTPUT -m MODELS``: CT studies to DICOM SEG, SR, maps and key images, and a status each.

INPUT is searched for DICOM files; MODELS may be empty (the starter release is used) or hold a release. README.md says
what the environment variables do, what lies in OUTPUT, and what the exit codes mean.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from renalct.host_shims import install


def main() -> int:
    """Run the graph for each study of the command line's folders; returns the exit code."""
    install()  # an application package has no .pth file that does it; before anything of MONAI is imported
    from app import SERIES_RULES, RenalctApplication
    from monai.deploy.core import Application
    from operators import Shared
    from renalct.cascade import Cascade
    from renalct.models.release import load_release, release_among
    from renalct.runs.environment import settings_of_environment
    from renalct.runs.status import exit_code_of
    from renalct.runs.studies import analyse_studies, failed_before

    context = Application.init_app_context(sys.argv)
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module that it copies
    source, output = Path(context.input_path), Path(context.output_path)
    with ExitStack() as closing:
        try:
            host = settings_of_environment(os.environ, rules=SERIES_RULES)
            release = load_release(release_among(Path(context.model_path)))
            cascade = Cascade(release, device=host.device)
            send = None
            if host.destinations:
                from renalct.delivery.host_sending import HostSending  # what sends is loaded by those who send

                sending = HostSending(host.destinations, outbox=host.outbox, wait_s=host.wait_s)
                send = closing.enter_context(sending).send
            statuses = analyse_studies(
                source,
                output,
                steps=lambda run, scan, folder: RenalctApplication(
                    Shared(run, scan, cascade, host.analysis, folder, send)
                ).run(),
                cascade=cascade,
                settings=host.analysis,
                send=send,
            )
        except Exception as error:  # told by the status, and not by a traceback, whose words may hold anything
            statuses = (failed_before(error, output),)
    sys.stderr.writelines(f"renalct: {status.reason}\n" for status in statuses if status.code)
    return exit_code_of(statuses)


if __name__ == "__main__":
    sys.exit(main())
