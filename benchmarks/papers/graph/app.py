import igraph


def handler(event, context):
    graph = igraph.Graph.Ring(20)
    reached, _, _ = graph.bfs(0)
    tree = graph.spanning_tree()
    return [len(reached), tree.ecount(), round(max(graph.pagerank()), 6)]
