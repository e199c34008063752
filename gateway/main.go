// Command gateway runs one node of the reference gateway.
package main

import "os"

func main() { os.Exit(0) }
