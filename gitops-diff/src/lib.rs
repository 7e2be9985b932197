//! States in, differences out: structured merge, three-way comparison, ignore rules, JSON Patch.
