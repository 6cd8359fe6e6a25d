"""What a sweep rests on, looked at before it starts and by the doctor: its places, machines and servers."""
