//! The curves of a run as SVG, readable in light and dark.

use std::fmt::Write as _;

/// The throughput and the memory of a process, second by second.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) rates: Vec<f64>,
    /// Resident memory in MiB.
    pub(super) memory: Vec<f64>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 120.0;
const LEFT: f64 = 20.0;

/// Draws a chart of the throughput and one of the memory for each curve.
pub(super) fn draw(curves: &[Curve]) -> String {
    let mut charts = String::new();
    let mut top = 30.0;
    for Curve { name, unit, rates, memory } in curves {
        for (what, values) in [(*unit, rates), ("MiB resident", memory)] {
            let most = values.iter().copied().fold(1.0, f64::max);
            #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
            let point = |(second, value): (usize, &f64)| {
                let x = LEFT + WIDTH * second as f64 / values.len().max(2) as f64;
                format!("{x:.1},{:.1}", top + HEIGHT * (1.0 - value / most))
            };
            let points: Vec<String> = values.iter().enumerate().map(point).collect();
            let written = write!(
                charts,
                "<text x=\"{LEFT}\" y=\"{}\">{name}: {what}, at most {most:.0}, {} s</text>\n\
                 <path d=\"M{LEFT} {top}v{HEIGHT}h{WIDTH}\" stroke-opacity=\".4\"/>\n<polyline points=\"{}\"/>\n",
                top - 8.0,
                values.len(),
                points.join(" "),
            );
            written.ok();
            top += HEIGHT + 40.0;
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 {top}\" fill=\"none\" stroke=\"#888\">\n\
         <style>text{{font:14px sans-serif;fill:#888;stroke:none}}polyline{{stroke:#3b82f6;stroke-width:1.5}}</style>\n\
         {charts}</svg>\n"
    )
}
