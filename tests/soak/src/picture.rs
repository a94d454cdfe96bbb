//! The samples as curves, one below the other, in a picture that any browser shows.

use std::fmt::Write as _;

use crate::sample::Sample;

/// Width of the picture, height of a curve, and what stands around it, in pixels.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 90.0;
const LEFT: f64 = 210.0;
const GAP: f64 = 34.0;
/// More points than this are no curve any more: the greatest of neighbours is drawn.
const POINTS_MAX: usize = 600;

/// A curve: its name, unit, and figure.
type Curve = (&'static str, &'static str, fn(&Sample) -> f64);

const CURVES: [Curve; 8] = [
    ("anonymous memory", "MiB", |s| s.anonymous_kib as f64 / 1024.0),
    ("mapped files", "MiB", |s| s.file_kib as f64 / 1024.0),
    ("disk", "MiB", |s| s.disk_kib as f64 / 1024.0),
    ("file descriptors", "", |s| s.fds as f64),
    ("threads", "", |s| s.threads as f64),
    ("messages sent", "/s", |s| s.sent_per_s),
    ("messages received", "/s", |s| s.received_per_s),
    ("lateness of timers, 99 of 100", "ms", |s| f64::from(s.late_ms[1])),
];

/// Draws all samples.
pub(crate) fn draw(samples: &[Sample], title: &str) -> String {
    let height = 50.0 + CURVES.len() as f64 * (HEIGHT + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">{}</text>\n",
        title.replace('&', "&amp;").replace('<', "&lt;")
    );
    for (n, curve) in CURVES.iter().enumerate() {
        draw_curve(&mut svg, samples, curve, 44.0 + n as f64 * (HEIGHT + GAP));
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_curve(svg: &mut String, samples: &[Sample], (name, unit, figure): &Curve, top: f64) {
    let most = samples.iter().map(figure).fold(0.0, f64::max);
    let last = samples.last().map_or(0.0, figure);
    let (end_s, scale) =
        (samples.last().map_or(1.0, |s| s.seconds.max(1.0)), if most > 0.0 { most } else { 1.0 });
    let width = WIDTH - LEFT - 20.0;
    let points = samples.chunks(samples.len().div_ceil(POINTS_MAX).max(1)).map(|part| {
        let (x, y) = (part[0].seconds / end_s * width, part.iter().map(figure).fold(0.0, f64::max) / scale);
        format!("{:.1},{:.1}", LEFT + x, top + HEIGHT * (1.0 - y))
    });
    let points: Vec<String> = points.collect();
    let bottom = top + HEIGHT;
    // Writing to a text does not fail.
    let _ = write!(
        svg,
        "<text x=\"10\" y=\"{:.0}\">{name}</text>\n\
         <text x=\"10\" y=\"{:.0}\" fill=\"#555\">most {most:.1} {unit}, last {last:.1}</text>\n\
         <rect x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"#f6f6f6\"/>\n\
         <polyline fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"1.3\" points=\"{}\"/>\n\
         <text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#555\" font-size=\"11\">0</text>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" fill=\"#555\" font-size=\"11\" text-anchor=\"end\">{:.0} min</text>\n",
        top + 18.0,
        top + 36.0,
        points.join(" "),
        bottom + 13.0,
        LEFT + width,
        bottom + 13.0,
        end_s / 60.0,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_drawn_within_the_picture() {
        let of =
            |n: u32| Sample { seconds: f64::from(n) * 5.0, anonymous_kib: u64::from(n), ..Sample::default() };
        let samples: Vec<Sample> = (0..2_000).map(of).collect();
        let svg = draw(&samples, "a < b & c");
        assert_eq!(svg.matches("<polyline").count(), CURVES.len());
        assert!(svg.contains("a &lt; b &amp; c"));
        for points in svg.split("points=\"").skip(1) {
            let points = &points[..points.find('"').unwrap()];
            assert!(points.split(' ').count() <= POINTS_MAX);
            for point in points.split(' ') {
                let (x, _) = point.split_once(',').unwrap();
                assert!((LEFT..=WIDTH).contains(&x.parse().unwrap()), "{point}");
            }
        }
        assert!(draw(&[], "nothing").contains("</svg>"));
    }
}
