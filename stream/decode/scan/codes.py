"""The numbers that the kernels and the plan agree on."""

from typing import Final

# The objects of an event whose names are read; each is a part of the table of names.
TOP: Final = 0
FEATURES: Final = 1
SEGMENTS: Final = 2
ATTRIBUTIONS: Final = 3
METRICS: Final = 4
PREDICTION: Final = 5
PROBABILITIES: Final = 6
# No object: the key of a name that no value has without an escape.
ESCAPED: Final = 7
# Further parts: the model's name, and from FIRST_PART on categories, segments and combinations.
MODEL_PART: Final = 7
FIRST_PART: Final = 8

# The words of a key's row, and of a group's.
WORD, MASK, LAST, LENGTH, OBJECT, ACTION, ARGUMENT, REST = range(8)
KEY_WORDS: Final = 8
FIRST_KEY, LAST_KEY, OTHERWISE = range(3)
GROUP_WORDS: Final = 3

# What is done with a value.
FEATURE: Final = 0
SEGMENT: Final = 1
NUMERIC: Final = 2
ENTER: Final = 3
PREDICT: Final = 4
TIME: Final = 5
MODEL: Final = 6
NAME: Final = 7
VERSION: Final = 8
LABEL: Final = 9
WEIGHT: Final = 10
SCORE: Final = 11
CLASS: Final = 12
SKIP: Final = 13

# Where a value goes: a numeric column, NOWHERE, or categorical column c as CATEGORICAL - c.
NOWHERE: Final = -1
CATEGORICAL: Final = -2

# The plan's own numbers.
FEATURE_KEYS_MAX: Final = 0
SEGMENT_KEYS_MAX: Final = 1
STRING_BYTES_MAX: Final = 2
LEVELS_MAX: Final = 3
PREDICTION_TARGET: Final = 4
ERROR_TARGET: Final = 5
VERSION_KEY: Final = 6
SEGMENT_PART: Final = 7
GROUP_PART: Final = 8
CHOICES: Final = 9

# What has been seen of a row.  (kind, start, length) of the label and of the class.
EVENT_TIME: Final = 0
HAS_MODEL: Final = 1
HAS_SCORE: Final = 2
WEIGHT_SEEN: Final = 3
VERSION_CODE: Final = 4
LABEL_AT: Final = 5
CLASS_AT: Final = 8
STRANGERS: Final = 11
ROW_NUMBER: Final = 12
MODEL_HASH: Final = 13
SPARE_USED: Final = 14
FACTS: Final = 15
LABEL_NUMBER, CLASS_NUMBER, SCORE_NUMBER = range(3)
NUMBERS: Final = 3

# What is counted of a row, in the order of `detectors.columns.FOLDED`.
FOLDED_FEATURES: Final = 0
FOLDED_CATEGORIES: Final = 1
FOLDED_SEGMENTS: Final = 2
FOLDED_KINDS: Final = 3

# What becomes of a row.
TAKEN: Final = 0
DOUBTFUL: Final = 1
OTHER_MODEL: Final = 2
OTHER_TIME: Final = 3

# Features of one row that the plan does not know: more of them are left to others.
STRANGERS_MAX: Final = 256
STRANGER_SLOTS: Final = 1024

# Room for the strings of one row that have escapes, and what a load may read behind it.
SPARE_BYTES: Final = 4096
SPARE_PADDING: Final = 64
