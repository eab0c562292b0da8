"""A model that is loaded and verified when first needed, and remembers why it could not be."""

from __future__ import annotations

import threading

from safelight.errors import ClosedError, ModelError
from safelight.runtime import Model


class ReadyModel:
    """Loads one model on first use; thread-safe. A failure is final, so that every picture gets the same state.

    Args:
        model_id: as in :func:`safelight.runtime.model_ids`.
        runtime: as for :class:`~safelight.runtime.Model`.
    """

    def __init__(self, model_id: str, *, runtime: str) -> None:
        self.id = model_id
        self._runtime = runtime
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._failure: ModelError | None = None
        self._closed = False

    def get(self) -> Model:
        """The verified model.

        Raises:
            ModelError: it cannot be used; ``state`` says why.
            ClosedError: after :meth:`close`.
        """
        with self._lock:
            if self._closed:
                raise ClosedError("this detector was closed; make a new Guard to go on.")
            if self._failure is not None:
                # A fresh copy: one exception object must not collect the tracebacks of every thread.
                raise ModelError(str(self._failure), state=self._failure.state)
            if self._model is None:
                try:
                    self._model = Model(self.id, runtime=self._runtime)
                except ModelError as error:
                    self._failure = error
                    raise
            return self._model

    def close(self) -> None:
        """Give the model's memory back. Safe to call twice."""
        with self._lock:
            self._closed = True
            if self._model is not None:
                self._model.close()
                self._model = None
