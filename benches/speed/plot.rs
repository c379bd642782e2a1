//! The tables of growth as curves: one panel a table, in one picture.

use std::fmt::Write;

use crate::{document::thousands, growth::Table};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
const PADDING: f64 = 58.0;
const TICKS: u32 = 4;

/// The first column of each table over its number, on a logarithmic axis.
pub fn svg(tables: &[Table]) -> String {
    let rows = tables.len().div_ceil(2) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#333}}.axis{{stroke:#bbb;fill:none}}.curve{{stroke:#0b66c3;stroke-width:2;fill:none}}.dot{{fill:#0b66c3}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.axis{{stroke:#555}}.curve{{stroke:#6db3f2}}.dot{{fill:#6db3f2}}}}</style>\n",
        WIDTH * 2.0,
        HEIGHT * rows
    );
    for (n, table) in tables.iter().enumerate() {
        let (x, y) = (WIDTH * (n % 2) as f64, HEIGHT * (n / 2) as f64);
        let _ = writeln!(svg, "<g transform=\"translate({x:.0} {y:.0})\">");
        panel(&mut svg, table);
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, table: &Table) {
    let (left, right, top, bottom) = (PADDING, WIDTH - 20.0, 44.0, HEIGHT - 40.0);
    let most = table
        .rows
        .iter()
        .map(|row| row.values[0])
        .fold(1.0, f64::max)
        * 1.1;
    let (first, last) = (
        table.rows[0].at.ln(),
        table.rows[table.rows.len() - 1].at.ln(),
    );
    let x = |at: f64| left + (at.ln() - first) / (last - first) * (right - left);
    let y = |value: f64| bottom - value / most * (bottom - top);
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"20\" font-weight=\"600\">{}</text><text x=\"{left}\" y=\"36\">{}</text>",
        table.title, table.columns[0]
    );
    for tick in 0..=TICKS {
        let value = most * f64::from(tick) / f64::from(TICKS);
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{left} {0:.1}H{right}\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            y(value),
            left - 6.0,
            y(value) + 4.0,
            thousands(value)
        );
    }
    let points: Vec<_> = table
        .rows
        .iter()
        .map(|row| format!("{:.1},{:.1}", x(row.at), y(row.values[0])))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline class=\"curve\" points=\"{}\"/>",
        points.join(" ")
    );
    for row in &table.rows {
        let _ = writeln!(
            svg,
            "<circle class=\"dot\" cx=\"{0:.1}\" cy=\"{1:.1}\" r=\"3.5\"/><text x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>",
            x(row.at),
            y(row.values[0]),
            bottom + 18.0,
            thousands(row.at)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(left, right),
        bottom + 34.0,
        table.of
    );
}
