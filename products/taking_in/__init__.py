"""Taking in: files and pastes become lines, lines are shown with what is wrong in them, and the good ones are taken."""
