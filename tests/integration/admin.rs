//! Operators: products and sales made and changed over HTTP and on the command line, on servers and in one process.

mod access;
mod command_line;
mod dead_letters;
pub mod desk;
mod first_sale;
mod lookup;
mod orders;
mod overview;
mod repeating;
mod running;
mod versions;
