"""One command: prepare → train → evaluate → bundle → report. The same command resumes."""

from luban.run.pipeline import Run, train

__all__ = ["Run", "train"]
