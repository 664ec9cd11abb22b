//! RFC 8785 canonical JSON, the part records use: objects, arrays, strings, integers below 2^53.
