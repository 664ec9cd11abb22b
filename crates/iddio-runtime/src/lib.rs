//! What every gateway needs and none writes twice: the home, identity, the assembled pipeline.
