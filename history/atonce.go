package history

import "fmt"

// atOnce is the most arrivals that were in flight at one instant. One that ends as the next begins is not.
func atOnce(arrivals []Arrival) int {
	most := 0
	for _, a := range arrivals {
		inFlight := 0
		for _, b := range arrivals {
			if !b.From.After(a.From) && (b.To.IsZero() || b.To.After(a.From)) {
				inFlight++
			}
		}
		most = max(most, inFlight)
	}
	return most
}

// AtMostAtOnce holds when no more than limit arrivals were ever in flight at one instant.
func AtMostAtOnce(arrivals []Arrival, limit int) error {
	if most := atOnce(arrivals); most > limit {
		return &Violation{Expected: fmt.Sprintf("no more than %d deliveries at a time", limit), Actual: fmt.Sprint(most)}
	}
	return nil
}

// AtLeastAtOnce holds when that many arrivals were in flight at some instant.
func AtLeastAtOnce(arrivals []Arrival, least int) error {
	if most := atOnce(arrivals); most < least {
		return &Violation{Expected: fmt.Sprintf("%d deliveries at a time", least), Actual: fmt.Sprintf("%d, of %d", most, len(arrivals))}
	}
	return nil
}
