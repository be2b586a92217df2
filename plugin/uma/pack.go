package uma

// pack copies every text of a token into one piece of memory of their length.
// They were parts of the answer, all of which a cached token would keep alive.
func (t *Token) pack() {
	n := 0
	t.eachText(func(s *string) { n += len(*s) })
	buf := make([]byte, 0, n)
	t.eachText(func(s *string) { buf = append(buf, *s...) })
	all := string(buf)
	t.eachText(func(s *string) {
		*s, all = all[:len(*s)], all[len(*s):]
	})
}

func (t *Token) eachText(visit func(*string)) {
	for _, s := range [...]*string{&t.Subject, &t.Issuer, &t.ClientID, &t.JWTID, &t.SessionID, &t.ACR} {
		visit(s)
	}
	visitAll := func(list []string) {
		for i := range list {
			visit(&list[i])
		}
	}
	visitAll(t.Audience)
	visitAll(t.Scopes)
	for _, claims := range [...][][]string{t.Claims, t.Own} {
		for _, claim := range claims {
			visitAll(claim)
		}
	}
	for i := range t.Permissions {
		visit(&t.Permissions[i].ResourceID)
		visitAll(t.Permissions[i].Scopes)
	}
}
