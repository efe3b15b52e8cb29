"""The data room: from a folder of pictures to a split, and from a split to batches."""
