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

// Identity is whose a token is and what claims it has, in memory of its own.
func (t *Token) Identity() *Token {
	own := &Token{Subject: t.Subject, ClientID: t.ClientID, Claims: cloneLists(t.Claims), Own: cloneLists(t.Own)}
	own.pack()
	return own
}

func cloneLists(lists [][]string) [][]string {
	own := make([][]string, len(lists))
	for i, list := range lists {
		if list != nil { // what is not said stays so
			own[i] = append([]string{}, list...)
		}
	}
	return own
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
