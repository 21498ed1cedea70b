//! Plots and the HTML report.
mod axes;
mod canvas;
mod label;
