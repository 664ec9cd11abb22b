//! A full-screen view of the queue.
