//! Takes secrets out of arguments, URLs and headers on the way into a record.
