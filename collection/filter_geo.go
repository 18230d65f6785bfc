package collection

import "math"

// earthRadius is the mean radius of the earth in metres (GRS 80).
const earthRadius = 6_371_008.8

// GeoPoint is a place, in degrees. A payload value is one when it is an object
// with the numbers lon and lat.
type GeoPoint struct{ Lon, Lat float64 }

// GeoBox accepts a point strictly inside the box. A box whose left edge is
// east of its right edge crosses the antimeridian.
type GeoBox struct{ TopLeft, BottomRight GeoPoint }

// GeoRadius accepts a point nearer to Center than Metres, on the great circle.
type GeoRadius struct {
	Center GeoPoint
	Metres float64
}

// GeoPolygon accepts a point strictly inside Exterior and strictly outside
// every ring of Interiors. A ring is closed: at least 4 points, the last equal
// to the first. Edges are straight in degrees.
type GeoPolygon struct {
	Exterior  []GeoPoint
	Interiors [][]GeoPoint
}

// area is a Predicate about places.
type area interface {
	Predicate
	contains(p GeoPoint) bool
}

func (GeoBox) accepts(value) bool     { return false }
func (GeoRadius) accepts(value) bool  { return false }
func (GeoPolygon) accepts(value) bool { return false }

func (b GeoBox) contains(p GeoPoint) bool {
	east, west := p.Lon > b.TopLeft.Lon, p.Lon < b.BottomRight.Lon
	between := east && west
	if b.TopLeft.Lon > b.BottomRight.Lon {
		between = east || west
	}
	return between && p.Lat > b.BottomRight.Lat && p.Lat < b.TopLeft.Lat
}

// contains measures with the haversine formula.
func (r GeoRadius) contains(p GeoPoint) bool {
	const radians = math.Pi / 180
	lat1, lat2 := r.Center.Lat*radians, p.Lat*radians
	sinLat := math.Sin((lat2 - lat1) / 2)
	sinLon := math.Sin((p.Lon - r.Center.Lon) * radians / 2)
	h := sinLat*sinLat + math.Cos(lat1)*math.Cos(lat2)*sinLon*sinLon
	return 2*earthRadius*math.Asin(math.Min(1, math.Sqrt(h))) < r.Metres
}

func (g GeoPolygon) contains(p GeoPoint) bool {
	if sideOf(g.Exterior, p) != inside {
		return false
	}
	for _, ring := range g.Interiors {
		if sideOf(ring, p) != outside {
			return false
		}
	}
	return true
}

// side is where a point lies to a ring.
type side uint8

const (
	outside side = iota
	onEdge
	inside
)

// sideOf counts how often the ring winds around p (Sunday, "Inclusion of a
// point in a polygon").
func sideOf(ring []GeoPoint, p GeoPoint) side {
	winding := 0
	for i := 1; i < len(ring); i++ {
		a, b := ring[i-1], ring[i]
		left := (b.Lon-a.Lon)*(p.Lat-a.Lat) - (p.Lon-a.Lon)*(b.Lat-a.Lat)
		switch {
		case left == 0 && within(p.Lon, a.Lon, b.Lon) && within(p.Lat, a.Lat, b.Lat):
			return onEdge
		case a.Lat <= p.Lat && b.Lat > p.Lat && left > 0:
			winding++
		case a.Lat > p.Lat && b.Lat <= p.Lat && left < 0:
			winding--
		}
	}
	if winding != 0 {
		return inside
	}
	return outside
}

func within(x, a, b float64) bool { return min(a, b) <= x && x <= max(a, b) }
