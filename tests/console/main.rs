use fantoccini as _;
