//! A series as charts read it: its points packed into few bytes, and thinned out without losing steps and extremes.

/// Branch positions of one chunk. A grid reads the newest hundred points of each of a hundred series: larger chunks are read for nothing.
pub const CHUNK: i32 = 256;

/// Version of the packed form; another one is not read.
const VERSION: u8 = 1;
/// Bytes of one point in all columns.
const POINT: usize = 4 + 8 + 8 + 8 + 8 + 2 + 8 + 4;
/// Bytes of one epoch.
const EPOCH: usize = 8 + 8;

/// One commit of a series: several runs of it are one point, as the detector takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TracePoint {
    /// Branch position.
    pub position: i32,
    /// When the commit was made, in seconds since 1970.
    pub committed_at: i64,
    /// Median in the metric's unit.
    pub median: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Points of different environments belong to different epochs.
    pub environment_id: i64,
    /// How many epochs controls had begun on the host by then; another number is another epoch too.
    pub host_epoch: i64,
    /// The newest of its runs.
    pub run_id: i64,
    /// Samples that count, of all its runs.
    pub samples: u32,
}

impl TracePoint {
    /// What must be the same for two points to be compared.
    pub fn epoch(&self) -> (i64, i64) {
        (self.environment_id, self.host_epoch)
    }
}

/// Why bytes are no packed points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTrace {
    /// They begin with another version, or there are none.
    #[error("packed points of version {0:?}, which this program does not read")]
    Version(Option<u8>),
    /// They are too few, too many, or name an epoch that is not there.
    #[error("packed points that are cut or damaged")]
    Damaged,
}

/// The chunk of a branch position; positions are never negative.
pub fn chunk_of(position: i32) -> i32 {
    position.div_euclid(CHUNK)
}

/// Packs points: a version byte, the epochs, then each column for itself, all little-endian. No more than 65,536 points.
pub fn pack(points: &[TracePoint]) -> Vec<u8> {
    let mut epochs: Vec<(i64, i64)> = Vec::new();
    let mut places: Vec<u16> = Vec::with_capacity(points.len());
    for point in points {
        // Epochs come in stretches: the newest is the likeliest.
        let known = epochs.iter().rposition(|epoch| *epoch == point.epoch());
        let place = known.unwrap_or_else(|| {
            epochs.push(point.epoch());
            epochs.len() - 1
        });
        places.push(u16::try_from(place).unwrap_or(u16::MAX));
    }
    let mut bytes = Vec::with_capacity(9 + epochs.len() * EPOCH + points.len() * POINT);
    bytes.push(VERSION);
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend(count(epochs.len()));
    bytes.extend(count(points.len()));
    for (environment, host) in &epochs {
        bytes.extend(environment.to_le_bytes());
        bytes.extend(host.to_le_bytes());
    }
    let mut column = |get: fn(&TracePoint) -> [u8; 8]| bytes.extend(points.iter().flat_map(get));
    column(|point| point.committed_at.to_le_bytes());
    column(|point| point.median.to_le_bytes());
    column(|point| point.low.to_le_bytes());
    column(|point| point.high.to_le_bytes());
    column(|point| point.run_id.to_le_bytes());
    bytes.extend(points.iter().flat_map(|point| point.position.to_le_bytes()));
    bytes.extend(points.iter().flat_map(|point| point.samples.to_le_bytes()));
    bytes.extend(places.iter().flat_map(|place| place.to_le_bytes()));
    bytes
}

/// Reads what [`pack`] has written.
///
/// # Errors
/// When the bytes are of another version, cut or damaged.
pub fn unpack(bytes: &[u8]) -> Result<Vec<TracePoint>, BadTrace> {
    let (version, rest) = bytes.split_first().ok_or(BadTrace::Version(None))?;
    if *version != VERSION {
        return Err(BadTrace::Version(Some(*version)));
    }
    let mut reader = Reader(rest);
    let [epochs, points] = [reader.count()?, reader.count()?];
    let length = epochs
        .checked_mul(EPOCH)
        .and_then(|length| length.checked_add(points.checked_mul(POINT)?));
    if length != Some(reader.0.len()) {
        return Err(BadTrace::Damaged);
    }
    let epochs: Vec<i64> = reader.column(epochs * 2)?.map(i64::from_le_bytes).collect();
    let times = reader.column(points)?.map(i64::from_le_bytes);
    let medians = reader.column(points)?.map(f64::from_le_bytes);
    let lows = reader.column(points)?.map(f64::from_le_bytes);
    let highs = reader.column(points)?.map(f64::from_le_bytes);
    let runs = reader.column(points)?.map(i64::from_le_bytes);
    let positions = reader.column(points)?.map(i32::from_le_bytes);
    let samples = reader.column(points)?.map(u32::from_le_bytes);
    let places = reader.column(points)?.map(u16::from_le_bytes);
    let values = medians.zip(lows).zip(highs);
    let rest = runs.zip(positions).zip(samples).zip(places);
    times
        .zip(values)
        .zip(rest)
        .map(
            |((committed_at, ((median, low), high)), (((run_id, position), samples), place))| {
                let [environment_id, host_epoch] = epoch_at(&epochs, place)?;
                Ok(TracePoint {
                    position,
                    committed_at,
                    median,
                    low,
                    high,
                    environment_id,
                    host_epoch,
                    run_id,
                    samples,
                })
            },
        )
        .collect()
}

fn epoch_at(epochs: &[i64], place: u16) -> Result<[i64; 2], BadTrace> {
    let from = usize::from(place) * 2;
    let found = epochs.get(from..from + 2);
    found
        .and_then(|pair| <[i64; 2]>::try_from(pair).ok())
        .ok_or(BadTrace::Damaged)
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BadTrace> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadTrace::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Result<usize, BadTrace> {
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_cut| BadTrace::Damaged)?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(|_cut| BadTrace::Damaged)
    }

    fn column<const N: usize>(
        &mut self,
        count: usize,
    ) -> Result<impl Iterator<Item = [u8; N]> + use<'a, N>, BadTrace> {
        let taken = self.take(count.checked_mul(N).ok_or(BadTrace::Damaged)?)?;
        Ok(taken
            .chunks_exact(N)
            .map(|bytes| bytes.try_into().unwrap_or([0; N])))
    }
}

/// Thins out one stretch of points, given as (x, value) by rising x: of each of `columns` pixel columns between `from` and `to` the first, the last, the
/// smallest and the largest stay, so that a line through them covers the same pixels (Jugel, Jerzak, Hackenbroich and Markl: M4, VLDB 2014).
/// The indices of those that stay, rising; values that are no numbers go. Call it for each epoch by itself: nothing is drawn across a break.
pub fn m4(points: &[(f64, f64)], (from, to): (f64, f64), columns: usize) -> Vec<usize> {
    let width = (to - from) / columns.max(1) as f64;
    let column = |x: f64| {
        if width > 0.0 && width.is_finite() {
            ((x - from) / width).floor()
        } else {
            0.0
        }
    };
    let finite: Vec<usize> = (0..points.len())
        .filter(|index| points[*index].0.is_finite() && points[*index].1.is_finite())
        .collect();
    let mut kept = Vec::new();
    for group in finite.chunk_by(|a, b| column(points[*a].0) == column(points[*b].0)) {
        let value = |index: &&usize| points[**index].1;
        let smallest = group.iter().min_by(|a, b| value(a).total_cmp(&value(b)));
        let largest = group.iter().max_by(|a, b| value(a).total_cmp(&value(b)));
        let mut four: Vec<usize> = [group.first(), smallest, largest, group.last()]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        four.sort_unstable();
        four.dedup();
        kept.extend(four);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(position: i32, median: f64, host_epoch: i64) -> TracePoint {
        TracePoint {
            position,
            committed_at: 1_400_000_000 - i64::from(position),
            median,
            low: median * 0.9,
            high: median * 1.1,
            environment_id: 7,
            host_epoch,
            run_id: i64::from(position) << 40,
            samples: 90,
        }
    }

    #[test]
    fn what_is_packed_is_read_again() {
        let none: Vec<TracePoint> = Vec::new();
        assert_eq!(unpack(&pack(&none)), Ok(none));
        let values = [1.0, 0.0, -1e300, f64::INFINITY, f64::MIN_POSITIVE];
        let mut points: Vec<TracePoint> = values
            .iter()
            .zip(0..)
            .map(|(value, position)| point(position * 200, *value, i64::from(position / 2)))
            .collect();
        points.push(point(i32::MAX, 5.0, i64::MAX));
        points.push(point(i32::MAX, 5.0, 0));
        let bytes = pack(&points);
        assert_eq!(unpack(&bytes), Ok(points.clone()));
        assert_eq!(bytes.len(), 9 + 4 * EPOCH + points.len() * POINT);
        assert!(
            unpack(&pack(&[point(0, f64::NAN, 0)])).unwrap()[0]
                .median
                .is_nan()
        );
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        assert_eq!(unpack(&[]), Err(BadTrace::Version(None)));
        assert_eq!(unpack(&[9, 0]), Err(BadTrace::Version(Some(9))));
        let bytes = pack(&[point(0, 1.0, 0), point(1, 1.0, 1)]);
        for length in 1..bytes.len() {
            assert_eq!(unpack(&bytes[..length]), Err(BadTrace::Damaged), "{length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(unpack(&longer), Err(BadTrace::Damaged));
        // Counts that overflow, and an epoch that is not there.
        let mut huge = bytes.clone();
        huge[1..9].fill(0xff);
        assert_eq!(unpack(&huge), Err(BadTrace::Damaged));
        let mut astray = bytes.clone();
        let last = astray.len() - 1;
        astray[last] = 9;
        assert_eq!(unpack(&astray), Err(BadTrace::Damaged));
    }

    #[test]
    fn positions_have_their_chunk() {
        assert_eq!([0, 255, 256, 1024].map(chunk_of), [0, 0, 1, 4]);
    }

    fn thinned(values: &[f64], columns: usize) -> Vec<usize> {
        let points: Vec<(f64, f64)> = values
            .iter()
            .enumerate()
            .map(|(index, value)| (index as f64, *value))
            .collect();
        m4(&points, (0.0, values.len() as f64), columns)
    }

    #[test]
    fn steps_and_extremes_survive_thinning() {
        let mut values: Vec<f64> = (0..10_000)
            .map(|index| if index < 6_543 { 1.0 } else { 1.01 } + f64::from(index % 7) * 1e-5)
            .collect();
        values[1234] = 9.0;
        values[8765] = 0.1;
        let kept = thinned(&values, 100);
        assert!(kept.len() <= 400 && kept.windows(2).all(|pair| pair[0] < pair[1]));
        for needed in [0, 1234, 8765, 9999] {
            assert!(kept.contains(&needed), "{needed}");
        }
        // On both sides of the step a point of its own level stands within its column.
        let near = |index: &&usize| index.abs_diff(6_543) < 100;
        let levels: Vec<bool> = kept
            .iter()
            .filter(near)
            .map(|index| values[*index] > 1.005)
            .collect();
        assert!(levels.contains(&true) && levels.contains(&false));
    }

    #[test]
    fn few_constant_and_odd_points() {
        assert_eq!(thinned(&[], 10), Vec::<usize>::new());
        assert_eq!(thinned(&[1.0], 10), [0]);
        assert_eq!(thinned(&[2.0; 5], 1), [0, 4]);
        assert_eq!(thinned(&[1.0, f64::NAN, 3.0, f64::INFINITY], 4), [0, 2]);
        assert_eq!(thinned(&[3.0, 1.0, 2.0], 0), [0, 1, 2]);
        assert_eq!(
            m4(&[(5.0, 1.0), (5.0, 2.0), (5.0, 1.5)], (5.0, 5.0), 9),
            [0, 1, 2]
        );
        assert_eq!(
            m4(&[(1e300, 1.0), (-1e300, 2.0)], (-1e308, 1e308), 2).len(),
            2
        );
    }
}
