//! Where the dots of a picture go: nodes push each other away and links pull (Fruchterman and Reingold 1991).
//!
//! Takes how many dots and which are joined; gives a place for each, in a square of side 1. Only sums, products and
//! square roots, which every processor computes alike: the same picture has the same places everywhere.

use vmatic_plan::network::shapes::permute::mix;

/// How often all dots are moved.
const STEPS: u32 = 400;
/// The first step's longest move, as a part of the square's side.
const FIRST_MOVE: f64 = 0.1;

type Point = (f64, f64);

/// A number from 0 to 1, by a number.
fn drawn(number: u64) -> f64 {
    (mix(number) >> 11) as f64 / (1u64 << 53) as f64
}

/// The places.
pub fn places(dots: usize, joined: &[(usize, usize)]) -> Vec<Point> {
    let mut places: Vec<Point> = (0..dots as u64).map(|dot| (drawn(2 * dot), drawn(2 * dot + 1))).collect();
    if dots < 2 {
        return vec![(0.5, 0.5); dots];
    }
    let apart = (1.0 / dots as f64).sqrt();
    for step in 0..STEPS {
        let most = FIRST_MOVE * f64::from(STEPS - step) / f64::from(STEPS);
        let moves = forces(&places, joined, apart);
        for (place, (x, y)) in places.iter_mut().zip(moves) {
            let length = (x * x + y * y).sqrt();
            if length > 0.0 {
                let scale = length.min(most) / length;
                *place = (place.0 + x * scale, place.1 + y * scale);
            }
        }
    }
    fit(places)
}

/// What moves each dot; dots that nothing joins are pulled to the middle, so that they stay in the picture.
fn forces(places: &[Point], joined: &[(usize, usize)], apart: f64) -> Vec<Point> {
    const LEAST: f64 = 1e-4;
    const TO_THE_MIDDLE: f64 = 0.4;
    let middle = |(x, y): &Point| ((0.5 - x) * TO_THE_MIDDLE, (0.5 - y) * TO_THE_MIDDLE);
    let mut moves: Vec<Point> = places.iter().map(middle).collect();
    for a in 0..places.len() {
        for b in a + 1..places.len() {
            let (x, y) = (places[a].0 - places[b].0, places[a].1 - places[b].1);
            let square = (x * x + y * y).max(LEAST * LEAST);
            let push = apart * apart / square;
            moves[a] = (moves[a].0 + x * push, moves[a].1 + y * push);
            moves[b] = (moves[b].0 - x * push, moves[b].1 - y * push);
        }
    }
    for (a, b) in joined {
        let (x, y) = (places[*a].0 - places[*b].0, places[*a].1 - places[*b].1);
        let pull = (x * x + y * y).sqrt() / apart;
        moves[*a] = (moves[*a].0 - x * pull, moves[*a].1 - y * pull);
        moves[*b] = (moves[*b].0 + x * pull, moves[*b].1 + y * pull);
    }
    moves
}

/// The same places, stretched over the square.
pub fn fit(places: Vec<Point>) -> Vec<Point> {
    let ends = |of: fn(&Point) -> f64| {
        places.iter().map(of).fold((f64::MAX, f64::MIN), |(least, most), at| (least.min(at), most.max(at)))
    };
    let ((left, right), (top, bottom)) = (ends(|place| place.0), ends(|place| place.1));
    let side = (right - left).max(bottom - top);
    if !side.is_finite() || side <= 0.0 {
        return vec![(0.5, 0.5); places.len()];
    }
    let (x, y) = ((1.0 - (right - left) / side) / 2.0, (1.0 - (bottom - top) / side) / 2.0);
    places.iter().map(|place| (x + (place.0 - left) / side, y + (place.1 - top) / side)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: Point, b: Point) -> f64 {
        ((a.0 - b.0).powi(2) + (a.1 - b.1).powi(2)).sqrt()
    }

    #[test]
    fn neighbours_are_near_and_all_are_in_the_square() {
        let line: Vec<(usize, usize)> = (0..29).map(|at| (at, at + 1)).collect();
        let places = places(30, &line);
        assert!(places.iter().all(|(x, y)| (0.0..=1.0).contains(x) && (0.0..=1.0).contains(y)), "{places:?}");
        let joined = line.iter().map(|(a, b)| distance(places[*a], places[*b])).sum::<f64>() / 29.0;
        assert!(joined < 0.5 * distance(places[0], places[29]), "{joined} {places:?}");
        let nearest = (0..30).flat_map(|a| (0..a).map(move |b| (a, b)));
        let nearest = nearest.map(|(a, b)| distance(places[a], places[b])).fold(1.0, f64::min);
        assert!(nearest > 0.01, "two dots are one: {nearest}");
        assert_eq!(super::places(30, &line), places, "the same every time");
    }

    #[test]
    fn few_dots_have_places_too() {
        assert_eq!(places(0, &[]), []);
        assert_eq!(places(1, &[]), [(0.5, 0.5)]);
        assert_eq!(places(2, &[]).len(), 2);
        assert!(places(3, &[(0, 1), (0, 1)]).iter().all(|(x, y)| x.is_finite() && y.is_finite()));
    }
}
