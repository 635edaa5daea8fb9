//! The shipped dashboards and alerts, and the commands that install them.

mod install;
mod shapes;
