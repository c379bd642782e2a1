//! What only the embedded system does: it owns a directory, starts with nothing, and finds everything again however it
//! ended. What it shares with the distributed one is in `http` and `sale`.

mod backup;
mod command_line;
mod directory;
mod first_start;
mod kill;
mod load;
mod restart;
