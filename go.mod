module github.com/umagate/umagate

go 1.26.0
