"""The trainer's errors: one message for the user each, and an exit code.

AtelierTrainerError
  +-- JobError            the job file is missing or wrong (exit 2)
  +-- DataUnavailable     no source gave the data set (exit 1)
  +-- DataCorrupt         bytes that are not what they should be (exit 1)
  +-- DataInvalid         a user's own file holds data that cannot be trained on (exit 2)
  +-- ImportRefused       a model, or what was given with it, cannot be imported (exit 2)
  +-- RunError            a run, or what was saved from one, cannot be used (exit 2)
  +-- WriteFailed         a disk is full, or a folder cannot be written (exit 1)
  +-- TrainingFailed      TensorFlow ended a training (exit 1)
  +-- PublishError        a version could not be written or numbered (exit 1)
  +-- FormatRefused       a model cannot be written in the wanted format (exit 2)
  +-- TrackingRefused     an experiment tracker cannot be used as it was asked for (exit 2)
  +-- TrackingFailed      an experiment tracker did not take what was sent (exit 1)
"""


class AtelierTrainerError(Exception):
    """Base of all errors shown to the user without a stack trace."""

    exit_code = 1


class JobError(AtelierTrainerError):
    """The job cannot be read or does not say what a job must say."""

    exit_code = 2


class DataUnavailable(AtelierTrainerError):
    """Every source of a data set failed; the message lists each with its reason."""


class DataCorrupt(AtelierTrainerError):
    """A file's content does not match its name, header or checksum."""


class DataInvalid(AtelierTrainerError):
    """A user's data file is wrong; the message names the file, and the row and column where there is one."""

    exit_code = 2


class ImportRefused(AtelierTrainerError):
    """A model that cannot be imported, or examples and labels that do not fit it; nothing was published."""

    exit_code = 2


class RunError(AtelierTrainerError):
    """A run's folder or a saved model is missing, unfinished or does not fit."""

    exit_code = 2


class WriteFailed(AtelierTrainerError):
    """A write failed; the message names the folder and the reason."""


class TrainingFailed(AtelierTrainerError):
    """A training ended before its last epoch; the message says why."""


class PublishError(AtelierTrainerError):
    """The model repository could not be written; no numbered version was left behind."""


class FormatRefused(AtelierTrainerError):
    """The model, or this installation, does not allow the wanted format; no file was left behind."""

    exit_code = 2


class TrackingRefused(AtelierTrainerError):
    """The tracking address, the run or the installation is none that can be used."""

    exit_code = 2


class TrackingFailed(AtelierTrainerError):
    """A tracking server is down, slow or refuses; the run's folder has everything all the same."""
