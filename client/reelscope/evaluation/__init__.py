"""What analyzers find, held against what is true: precision, recall, time errors, error rates, thresholds.

truth      the annotation file: its types, its JSON Schema, what is refused
pairs      which annotation belongs to which clip
judging    one clip: what was found beside what is true
matching   which finding is which true one
texts      word and character error rates
scores     figures of one clip, and of all of them together
figures    evaluation.json: its types and its JSON Schema
tables     the figures for people
command    `reelscope evaluate`
"""
