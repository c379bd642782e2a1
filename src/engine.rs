//! The engines behind the three ports. Only `commands` chooses among them.
