package localstore

// Usage returns how many bytes of tables each part of the store takes, by the first byte of its keys, and under 0 the
// bytes that are in the write-ahead log only. For measuring.
func (s *Store) Usage() (map[byte]int64, error) {
	usage := map[byte]int64{0: s.Size()}
	for _, k := range []byte{keyBlock, keyCheckpoint, keyHash, keyPosting, keyRun, keyStream} {
		n, err := s.db.EstimateDiskUsage([]byte{k}, []byte{k + 1})
		if err != nil {
			return nil, err
		}
		usage[k] = int64(n)
		usage[0] -= int64(n)
	}
	return usage, nil
}
