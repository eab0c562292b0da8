"""Recipe of the ``cydral_age`` models.

Sets two environment variables here, because TensorFlow reads them when it is first imported.
"""

import os

# The plain kernels: what calibration measures must not depend on what oneDNN picks for a processor.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no start-up chatter
