"""Models: which there are (`families`, `listing`), how they are brought to a size (`plan`), where their
first weights come from (`weights`, `hub`), how they are built (`create`) and kept (`folder`)."""
