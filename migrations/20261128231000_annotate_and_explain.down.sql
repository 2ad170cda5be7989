DROP TABLE explanation;
DROP TABLE annotation;
