//! What an action is, and how dangerous.
